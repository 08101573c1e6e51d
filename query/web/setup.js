// The first run: says what is so and what to do, and adds a camera or a folder.

import { html, nothing } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { sentence } from './format.js';
import { icons } from './icons.js';
import { store } from './state.js';
import { text as t } from './strings.js';

const form = { url: '', name: '', picture: '', busy: '', error: null, saved: '' };
const change = (patch) => {
  Object.assign(form, patch);
  store.set({ form: { ...form } }, { history: 'none' });
};

/** A name for an address, as long as nobody typed one: yard of /srv/nvr/yard, else the host's first part. */
function suggestName(url) {
  const clean = url.replace(/^[a-z]+:\/\/(?:[^@/]*@)?/iu, '').replace(/[?#].*$/u, '').replace(/\/+$/u, '');
  const last = /^[a-z]+:\/\//iu.test(url) ? clean.split('/')[0].split(':')[0] : clean.split('/').at(-1);
  return last.replace(/[^\w.-]+/gu, '-').replace(/^[-.]+|[-.]+$/gu, '').slice(0, 64);
}

/** Whether an address is a live camera's, so that a picture can be taken now; all else is a folder. */
const isLive = (url) => /^(?:[a-z]+:\/\/|\d+$|\/dev\/video)/iu.test(url.trim());

async function test() {
  change({ busy: 'test', error: null, picture: '' });
  try {
    const response = await api.testCamera({ url: form.url.trim() });
    change({ busy: '', picture: URL.createObjectURL(await api.read(response, 'blob')) });
  } catch (error) {
    change({ busy: '', error });
  }
}

async function save(event) {
  event.preventDefault();
  const name = form.name || suggestName(form.url);
  change({ busy: 'save', error: null });
  try {
    await api.addCamera({ name, url: form.url.trim() });
    change({ busy: '', saved: name, url: '', name: '', picture: '' });
    store.set({ cameras: (await api.cameras()).cameras }, { history: 'none' });
  } catch (error) {
    change({ busy: '', error });
  }
}

export function addView(state) {
  if (state.session.role !== 'admin') return html`<p class="hint">${t.setup.onlyAdmin} ${t.setup.byCommand}</p>`;
  const name = form.name || suggestName(form.url);
  return html`<form class="add" @submit=${save} autocomplete="off">
    <h2>${t.setup.addTitle}</h2>
    <label>${t.setup.url}<input name="url" required spellcheck="false" .value=${form.url} aria-describedby="url-hint" @input=${(e) => change({ url: e.target.value, picture: '', saved: '', error: null })}></label>
    <p class="hint" id="url-hint">${t.setup.urlHint}</p>
    <label>${t.setup.name}<input name="name" required pattern="[A-Za-z0-9_][A-Za-z0-9_.\\-]{0,63}" title=${t.setup.nameHint} spellcheck="false" .value=${name} @input=${(e) => change({ name: e.target.value })}></label>
    <div class="buttons">${isLive(form.url) ? html`<button type="button" ?disabled=${Boolean(form.busy)} @click=${test}>${form.busy === 'test' ? `${t.setup.testing}…` : t.setup.test}</button>` : nothing}
      <button class="main" ?disabled=${!form.url || Boolean(form.busy)}>${form.busy === 'save' ? `${t.setup.saving}…` : t.setup.save}</button></div>
    <div role="status">${form.saved ? html`<p class="good">${icons.check}${t.setup.saved(form.saved)}</p>` : nothing}</div>
    <div role="alert">${form.error ? html`<p class="error">${sentence(form.error.message)}${form.error.hint ? html`<br>${sentence(form.error.hint)}` : nothing}</p>` : nothing}</div>
    ${form.picture ? html`<img class="test" src=${form.picture} alt=${t.setup.testAlt(name)}>` : nothing}
  </form>`;
}

const TOLD = 3; // cameras that are away, each with its reason

/** What stands above everything while something is wrong; nothing when all is well. */
export function bannerView(state) {
  const { status } = state;
  const isShown = state.view === 'live' || isFirstRun(state) || state.error; // there, or nothing is known of them now
  const away = isShown ? [] : (state.cameras ?? []).filter((one) => one.live && !['live', 'connecting', 'stopped'].includes(one.live.state));
  const notes = [];
  if (status?.problem && isUp(status)) notes.push(html`<b>${t.setup.problem}.</b> ${sentence(status.problem)} ${status.hint && sentence(status.hint)}`);
  for (const { camera, live } of away.slice(0, TOLD)) notes.push(html`<b>${t.setup.away(camera)}</b>${live.error ? `: ${live.error}` : nothing}.`);
  if (away.length > TOLD) notes.push(t.setup.moreAway(away.length - TOLD));
  if (state.notice) notes.push(state.notice);
  return notes.length ? html`<div class="banner" role="status">${notes.map((note) => html`<p>${icons.warn}<span>${note}</span></p>`)}</div>` : nothing;
}

/** Whether there is nothing to search, yet or any more. */
export const isFirstRun = ({ status }) => Boolean(status) && !(isUp(status) && status.records);

/** Whether the service said that it cannot start; it ends then, so that nothing more is heard of it. */
export const hasFailed = ({ status }) => status?.state === 'failed';

/** Whether the service is up, with or without footage. */
export const isUp = (status) => status.state === 'ready';

function explain({ status, session, cameras }) {
  if (status.state === 'starting') return [t.setup.startingTitle, ''];
  if (status.state === 'other_model') return [t.setup.otherTitle, t.setup.otherText];
  if (status.state === 'failed') return [t.setup.failedTitle, ''];
  if (status.problem) return [t.setup.lostTitle, t.setup.lostText]; // which the banner tells
  if (cameras?.length) return [t.setup.emptyTitle, t.setup.waiting];
  return [t.setup.emptyTitle, session.role === 'admin' ? t.setup.emptyText : t.setup.emptyView];
}

export function firstRunView(state) {
  const { status } = state;
  const isEmpty = isUp(status), isStuck = isEmpty ? Boolean(status.problem) : status.state !== 'starting';
  const [title, message] = explain(state);
  const cameras = state.cameras ?? [];
  const stateOf = ({ live }) => (live ? `${t.live.states[live.state] ?? live.state}${live.error ? `: ${live.error}` : ''}` : t.setup.indexing);
  return html`<section class="first" aria-live="polite">
    <span class="mark ${isStuck ? 'wrong' : ''}">${isStuck ? icons.warn : isEmpty ? icons.camera : icons.clock}</span><h1>${title}</h1>
    ${message ? html`<p>${message}</p>` : nothing}
    ${status.problem && !isEmpty ? html`<p class="error">${sentence(status.problem)}</p>` : nothing}
    ${status.hint && !isEmpty && status.state !== 'other_model' ? html`<p class="hint">${sentence(status.hint)}</p>` : nothing}
    ${status.state === 'starting' ? html`<progress aria-label=${title}></progress>` : nothing}
    ${isEmpty && cameras.length && !status.problem ? html`<ul class="sources">${cameras.map((one) => html`<li><b>${one.camera}</b><span>${stateOf(one)}</span></li>`)}</ul>` : nothing}
    ${isEmpty ? addView(state) : nothing}
  </section>`;
}
