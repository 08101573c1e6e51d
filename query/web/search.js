// The search box with its chips: what is typed is understood while one types, and Enter turns it into chips.

import { html, nothing } from './vendor/lit-html/lit-html.js';
import { frameUrl } from './api.js';
import { unweighted } from './ask.js';
import { clockOf, daysLabel, hoursLabel, spanOf, utcOf, zone } from './format.js';
import { icons } from './icons.js';
import { bestFrame } from './moment-id.js';
import { picturesOf, pictureUrl, readPicture } from './pictures.js';
import { store } from './state.js';
import { text as t } from './strings.js';
import { asWords, understand } from './understand.js';

const join = (...lists) => [...new Set(lists.flat())];

/**
 * Takes a text as typed: its words become the query, what else it says filters, added to the chips there are. The first
 * letter is a step of its own in the history, the others change it.
 */
export function type(text, { typing = true } = {}) {
  const state = store.get();
  const history = typing && state.typing ? 'replace' : 'push';
  const { camera, minus, from, to, hours, days } = state;
  const base = state.base ?? { camera, minus, from, to, hours, days };
  const cameras = (state.cameras ?? []).map((one) => one.camera);
  const found = understand(text, { now: Date.now(), zone, cameras });
  const timed = found.from || found.to;
  store.set({
    text, base, typing, q: found.words,
    parts: [...state.parts.filter((part) => part.kept), ...found.parts.map((part) => ({ ...part, at: found.at }))],
    camera: found.camera.length ? join(found.camera) : base.camera,
    minus: join(base.minus, found.minus),
    from: timed ? found.from : base.from,
    to: timed ? found.to : base.to,
    hours: found.hours || base.hours,
    days: found.days || base.days,
  }, { history });
}

/** Turns what was understood into chips, and leaves the words in the box. */
function commit() {
  const state = store.get();
  const parts = state.parts.map((part) => ({ ...part, kept: true }));
  store.set({ text: state.q, base: null, parts, typing: false }, { history: 'push' });
}

/** Searches for the phrase of a chip as words instead. */
function undo(part) {
  const state = store.get();
  if (!part.kept) return type(asWords(state.text, part), { typing: false });
  const filters = cut(state, part.kind, part.value);
  const q = `${state.q} "${part.phrase}"`.trim();
  return store.set({ ...filters, q, text: q, base: null, typing: false, parts: without(state.parts, part) });
}

const without = (list, value) => list.filter((one) => one !== value);

/** What is left of a kind of filter without one value. */
function cut(filters, kind, value) {
  if (kind === 'time') return { from: '', to: '' };
  return { [kind]: Array.isArray(filters[kind]) ? without(filters[kind], value) : '' };
}

/** Takes a chip away; what was typed for it goes too. */
function remove(kind, value, part) {
  const state = store.get();
  if (part && !part.kept) {
    const rest = `${state.text.slice(0, part.start)} ${state.text.slice(part.end)}`.replace(/\s+/gu, ' ').trim();
    store.set({ base: { ...state.base, ...cut(state.base, kind, value) } }, { history: 'none' });
    type(rest, { typing: false });
    return;
  }
  const parts = state.parts.filter((one) => one.kind !== kind || (kind !== 'time' && one.value !== value));
  if (kind === 'picture') store.set({ pictures: without(state.pictures, value), typing: false });
  else store.set({ ...cut(state, kind, value), parts, typing: false });
}

async function addPictures(files, sign = 'plus') {
  for (const file of files) {
    try {
      const picture = await readPicture(file, sign);
      store.set({ pictures: [...store.get().pictures, picture].slice(-3), typing: false, notice: '' });
    } catch {
      store.set({ notice: t.search.notPicture(file.name || t.search.picture) }, { history: 'none' });
    }
  }
}

export const focusBox = () => {
  const box = document.getElementById('q');
  box?.focus();
  box?.select();
};

/** Takes pictures that are dropped or pasted anywhere on the page. */
export function listenForPictures() {
  const zoneOf = document.documentElement;
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  window.addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zoneOf.classList.add('dropping');
  });
  window.addEventListener('dragleave', (event) => { if (!event.relatedTarget) zoneOf.classList.remove('dropping'); });
  window.addEventListener('drop', (event) => {
    zoneOf.classList.remove('dropping');
    if (!hasFiles(event)) return;
    event.preventDefault();
    addPictures(picturesOf(event.dataTransfer));
  });
  window.addEventListener('paste', (event) => {
    const files = picturesOf(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    addPictures(files);
  });
}

export function boxView(state) {
  const submit = (event) => {
    event.preventDefault();
    commit();
  };
  const clear = () => {
    store.set({ text: '', q: '', base: null, typing: false, pictures: [], plus: [], parts: state.parts.filter((p) => p.kept) });
    focusBox();
  };
  const choose = (event) => {
    addPictures([...event.target.files]);
    event.target.value = '';
  };
  const back = (event) => {
    if (event.key === 'Backspace' && !event.target.value) removeLast(state);
  };
  const filled = state.text || state.pictures.length || state.plus.length;
  return html`<form class="box" role="search" @submit=${submit}>
    ${icons.search}
    ${state.pictures.map((one) => html`<img class="pasted" src=${pictureUrl(one)} alt=${one.name}>`)}
    <input id="q" type="text" name="q" autocomplete="off" autocapitalize="off" enterkeyhint="search" maxlength="900"
      aria-label=${t.search.label} placeholder=${t.search.placeholder} .value=${state.text}
      @input=${(event) => type(event.target.value)} @keydown=${back}>
    ${filled ? html`<button type="button" class="ghost" title=${t.search.clear} aria-label=${t.search.clear} @click=${clear}>${icons.close}</button>` : nothing}
    <label class="ghost pick" title=${t.search.picture}>
      ${icons.picture}<input type="file" accept="image/*" multiple aria-label=${t.search.picture} @change=${choose}>
    </label>
  </form>`;
}

function removeLast(state) {
  if (state.pictures.length) remove('picture', state.pictures.at(-1));
  else if (state.plus.length) remove('plus', state.plus.at(-1));
  else if (state.minus.length) remove('minus', state.minus.at(-1));
  else if (state.camera.length) remove('camera', state.camera.at(-1));
  else if (state.hours || state.days) remove(state.days ? 'days' : 'hours');
  else if (state.from || state.to) remove('time');
}

function chip({ kind, icon, label, title = '', part, onRemove, image }) {
  const isTyped = part && !part.kept;
  return html`<li class="chip of-${kind} ${isTyped ? 'typed' : ''}" title=${title}>
    ${image ? html`<img src=${image} alt="">` : icon}<span>${label}</span>
    ${part ? html`<button type="button" aria-label=${t.search.undo(part.phrase)} title=${t.search.undo(part.phrase)} @click=${() => undo(part)}>${icons.undo}</button>` : nothing}
    <button type="button" aria-label=${t.search.remove(label)} title=${t.search.remove(label)} @click=${onRemove}>${icons.close}</button>
  </li>`;
}

/** The picture of a term that is an id, perhaps with a weight before it and a part behind it; '' for words. */
function termPicture(term) {
  const frame = bestFrame(unweighted(term).split('@')[0]);
  return frame ? frameUrl(frame, { side: 64 }) : '';
}

export function chipsView(state) {
  const partOf = (kind, value) => state.parts.find((part) => part.kind === kind && (kind === 'time' || part.value === value));
  const chips = [];
  if (state.from || state.to) {
    const part = partOf('time');
    const at = part?.at;
    const label = spanOf(state.from, state.to);
    const title = [at ? t.search.around(clockOf(at)) : '', state.from && utcOf(state.from), state.to && utcOf(state.to)];
    chips.push(chip({ kind: 'time', icon: icons.clock, label, part, title: title.filter(Boolean).join(' – '), onRemove: () => remove('time', '', part) }));
  }
  for (const name of state.camera) {
    const part = partOf('camera', name);
    chips.push(chip({ kind: 'camera', icon: icons.camera, label: name, part, onRemove: () => remove('camera', name, part) }));
  }
  for (const value of state.minus) {
    const part = partOf('minus', value);
    const image = termPicture(value);
    const label = image ? t.search.unlike : t.search.without(value);
    chips.push(chip({ kind: 'minus', icon: icons.minus, image, label, part, onRemove: () => remove('minus', value, part) }));
  }
  for (const value of state.plus) {
    const image = termPicture(value);
    const label = image ? (value.includes('@') ? t.search.part : t.search.like) : value;
    chips.push(chip({ kind: 'plus', icon: icons.plus, image, label, onRemove: () => remove('plus', value) }));
  }
  for (const picture of state.pictures) {
    chips.push(chip({ kind: 'picture', image: pictureUrl(picture), label: picture.name, onRemove: () => remove('picture', picture) }));
  }
  for (const name of ['hours', 'days']) {
    if (!state[name]) continue;
    const [value, part] = [state[name], partOf(name, state[name])];
    const label = name === 'hours' ? hoursLabel(value) : daysLabel(value);
    const title = t.search.serverZone(state.status?.zone ?? '');
    chips.push(chip({ kind: name, icon: icons.clock, label, title, part, onRemove: () => remove(name, value, part) }));
  }
  if (state.mark) {
    chips.push(chip({ kind: 'mark', icon: icons.star, label: t.search.marks[state.mark], onRemove: () => store.set({ mark: '' }) }));
  }
  return chips.length ? html`<ul class="chips" aria-label=${t.search.filters}>${chips}</ul>` : nothing;
}
