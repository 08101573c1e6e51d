// Reviews moments: keep, dismiss, note; selects many and hands them over as one clip or a zip.

import { html } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { icons } from './icons.js';
import { register } from './keys.js';
import { momentsOf } from './state.js';
import { text as t } from './strings.js';

const text = t.review;
const SIGNS = { keep: icons.check, dismiss: icons.close };

export const markOf = (moment) => moment?.mark ?? null;

/**
 * Set a moment's mark ('keep', 'dismiss' or '' for none) and its note; answers {mark}, or null if it failed. What has a
 * note is kept, unless it is dismissed.
 */
export async function setMark(ctx, moment, mark, note = markOf(moment)?.note ?? '') {
  try {
    const { mark: made } = await (mark
      ? api.ofRecord(moment, (id) => api.putMark(id, { mark, note, query: ctx.store.get().q })) : api.removeMark(moment.id));
    spread(ctx, new Set([moment.id]), { mark: made });
    ctx.say(mark ? text.done[mark] : text.unmarked);
    return { mark: made };
  } catch (error) {
    ctx.say(api.explain(error));
    return null;
  }
}

/** Let every list that shows the moments of `ids` show what has changed of them. */
function spread({ store }, ids, change) {
  const { answer, unfolded } = store.get();
  if (!answer) return;
  const all = (moments) => moments.map((one) => (ids.has(one.id) ? { ...one, ...change } : one));
  store.set({
    answer: { ...answer, moments: all(answer.moments), near_misses: all(answer.near_misses) },
    unfolded: new Map([...(unfolded ?? [])].map(([id, moments]) => [id, all(moments)])),
  }, { history: 'none' });
}

/** The part of the player where a moment is reviewed. */
export function reviewPanel({ moment, ctx, act, mayReview }) {
  const mine = markOf(moment);
  if (!mayReview) return mine?.note ? html`<p>${mine.note}</p>` : '';
  const choice = (mark, key) => html`<button type="button" class="choice ${mark} ${mine?.mark === mark ? 'on' : ''}"
    aria-pressed=${String(mine?.mark === mark)} title="${text[mark]} (${key})" @click=${() => act.mark(mark)}>${SIGNS[mark]} ${text[mark]}</button>`;
  const save = (event) => {
    if (event.target.value !== (mine?.note ?? '')) act.mark(mine?.mark || 'keep', event.target.value);
  };
  return html`<div class="review">
    <div class="choices">${choice('keep', 'Y')}${choice('dismiss', 'N')}</div>
    <label>${text.note}<textarea rows="3" maxlength="2000" .value=${mine?.note ?? ''} placeholder=${text.notePlaceholder}
      @change=${save} @keydown=${leaveField}></textarea></label>
  </div>`;
}

/** Esc ends typing, and closes nothing; Ctrl+Enter too. */
function leaveField(event) {
  if (event.key === 'Escape' || (event.key === 'Enter' && (event.ctrlKey || event.metaKey))) {
    event.target.blur();
    event.stopPropagation();
    event.preventDefault();
  }
}

const chosenMoments = (state) => {
  const known = new Map(momentsOf(state).map((one) => [one.id, one]));
  return [...state.selected].map((id) => known.get(id) ?? { id, mark: null });
};

/** The bar that shows while moments are selected. */
export function selectionBar(state, ctx) {
  if (!state.selected?.size) return '';
  const moments = chosenMoments(state);
  const all = (mark) => markAll(ctx, moments, mark);
  const mayReview = state.session?.role !== 'view';
  return html`<div class="selection" role="region" aria-label=${text.selection}>
    <strong>${text.selected(moments.length)}</strong>
    ${mayReview ? html`
      <button type="button" @click=${() => all('keep')}>${icons.check} ${text.keep}</button>
      <button type="button" @click=${() => all('dismiss')}>${icons.close} ${text.dismiss}</button>
      <button type="button" class="main" ?disabled=${state.exporting} @click=${() => exportSelected(ctx)}>
        ${icons.download} ${state.exporting ? text.exporting : moments.length > 1 ? text.zip(moments.length) : t.app.clip}</button>` : ''}
    <button type="button" class="plain" @click=${() => ctx.store.set({ selected: new Set() }, { history: 'none' })}>${icons.close} ${text.clear}</button>
  </div>`;
}

async function markAll(ctx, moments, mark) {
  for (const moment of moments) if (!await setMark(ctx, moment, mark)) return;
  ctx.say(text.allDone[mark](moments.length));
}

/** Hand over what is selected: one clip, or a zip with a manifest. */
async function exportSelected(ctx) {
  const moments = chosenMoments(ctx.store.get());
  if (!moments.length) return;
  if (moments.length === 1) api.downloadClip(moments[0].id);
  else if (!await exportZip(ctx, moments)) return;
  spread(ctx, new Set(moments.map((one) => one.id)), { exported: true });
}

/** Have the zip made and saved; returns whether that was done. */
async function exportZip({ store, say }, moments) {
  const state = store.get(), wanted = moments.map((one) => (typeof one.score === 'number' ? { id: one.id, score: one.score } : one.id));
  store.set({ exporting: true }, { history: 'none' });
  say(text.zipping(moments.length));
  try {
    api.download(await api.exportZip({ moments: wanted, query: state.answer?.query ?? '', filters: filtersOf(state) }), 'footage.zip');
    say(text.zipped);
    return true;
  } catch (error) {
    say(api.explain(error));
    return false;
  } finally {
    store.set({ exporting: false }, { history: 'none' });
  }
}

function filtersOf(state) {
  return Object.fromEntries(['camera', 'from', 'to', 'hours', 'days', 'mark'].map((name) => [name, state[name]])
    .filter(([, value]) => value?.length));
}

/** Copy the address of what is shown. */
export async function copyLink(ctx) {
  await navigator.clipboard.writeText(window.location.href).then(() => ctx.say(t.app.copied), () => ctx.say(text.notCopied));
}

/** The keys of review in the results; they act on the card that has the focus. */
export function registerReviewKeys(ctx) {
  const focused = () => {
    const state = ctx.store.get();
    return momentsOf(state).find((one) => one.id === state.focused) ?? null;
  };
  const on = (key, action, label) => register('results', key, () => {
    const moment = focused();
    if (!moment || ctx.store.get().view) return false;
    action(moment);
    return undefined;
  }, label);
  const mark = (name) => (moment) => setMark(ctx, moment, markOf(moment)?.mark === name ? '' : name);
  on('y', mark('keep'), text.keys.keep);
  on('n', mark('dismiss'), text.keys.dismiss);
  on('m', ({ best }) => ctx.store.set({ q: '', plus: [best.frame], minus: [], pictures: [], mark: '', typing: false }), text.keys.more);
  register('page', 'l', () => { copyLink(ctx); }, text.keys.link);
  register('results', 'e', () => {
    if (ctx.store.get().selected.size) exportSelected(ctx);
    else if (focused()) api.downloadClip(focused().id);
    else return false;
    return undefined;
  }, text.keys.export);
}
