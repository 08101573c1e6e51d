// Shows each camera now: its state, its latest picture, and why it is away; and what the watches have found.

import { html } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { clockOf, durationOf, fullOf, percentOf, utcOf } from './format.js';
import { icons } from './icons.js';
import { isoOf, momentIdOf } from './moment-id.js';
import { askAgain } from './pictures.js';
import { text as t } from './strings.js';

const text = t.live;
const EVERY = 4_000; // milliseconds between two looks at the cameras
const LATE = 60; // seconds without a picture after which it is told how old the last one is

const LOOK_BACK = 120_000; // milliseconds before the end of a camera's footage, where not all of it was indexed

const pictures = new Map(); // camera -> {end, id, time}
let timer = 0, failure = '', about = { problem: '', failing: [] };

/** Look at the cameras now, and again while the view is shown. */
export async function enter(ctx) {
  clearTimeout(timer);
  ctx.store.set({ unseen: 0 }, { history: 'none' });
  await look(ctx);
}

export function leave() {
  clearTimeout(timer);
  timer = 0;
}

async function look(ctx) {
  const mine = (timer = setTimeout(() => look(ctx), EVERY));
  if (document.hidden) return;
  try {
    const { cameras, problem, failing } = await api.cameras();
    [failure, about] = ['', { problem, failing: failing ?? [] }];
    await Promise.all(cameras.map(getPicture));
    if (timer === mine || timer !== 0) ctx.store.set({ cameras }, { history: 'none' });
  } catch (error) {
    failure = api.explain(error);
    if (timer !== 0) ctx.store.set({}, { history: 'none' });
  }
}

/** The picture of the newest record, asked for only where there is a newer one. */
async function getPicture({ camera, end }) {
  if (!end || pictures.get(camera)?.end === end) return;
  const last = Date.parse(end);
  const ask = (params) => api.frames({ camera, ...params }).then(({ frames }) => frames.at(-1), () => undefined);
  const found = await ask({ at: isoOf(last - 1) }) ?? await ask({ from: isoOf(last - LOOK_BACK), to: isoOf(last) });
  if (found) pictures.set(camera, { end, id: found.id, time: found.time });
}

export function view(state, ctx) {
  const listed = state.cameras ?? [];
  const order = (one) => (one.live ? (one.live.state === 'live' ? 1 : 0) : 2); // what is away comes first
  return html`<section class="panel live">
    <h1>${text.title}</h1>
    ${failure ? html`<p class="error" role="alert">${failure}</p>` : ''}
    ${about.problem ? html`<p class="error">${about.problem}</p>` : ''}
    ${about.failing.map((one) => html`<p class="error">${text.failing(one.stage, one.camera, one.error)}</p>`)}
    ${state.cameras && !listed.length ? html`<p>${text.none}</p>` : ''}
    <ul class="cameras">${[...listed].sort((a, b) => order(a) - order(b)).map((one) => card(one, ctx))}</ul>
    ${alertList(state, ctx)}
  </section>`;
}

function card(camera, ctx) {
  const { live } = camera, picture = pictures.get(camera.camera);
  const open = () => picture && ctx.store.set({ open: momentIdOf(picture.id), t: '' });
  const age = picture ? (Date.now() - Date.parse(picture.time)) / 1000 : null;
  const state = live ? live.state : 'files';
  return html`<li class="camera ${isWell(live) ? 'well' : 'away'}">
    <button type="button" class="thumb" ?disabled=${!picture} @click=${open} aria-label=${text.open(camera.camera)}>
      ${picture ? html`<img src=${api.frameUrl(picture.id, { side: 240 })} alt="" width="320" height="180" @error=${askAgain}>`
        : html`<span class="no-picture">${text.noPicture}</span>`}</button>
    <h2>${camera.camera} <span class="state ${state.replaceAll(' ', '-')}">${text.states[state] ?? state}</span></h2>
    ${live?.error && live.state !== 'live' ? html`<p class="why">${live.error}</p>` : ''}
    <p class="hint">${live ? html`<span title=${utcOf(live.since)}>${text.since(fullOf(live.since))}</span>` : text.ofFiles(camera.media)}</p>
    <p class="hint">${picture ? html`<span title=${utcOf(picture.time)}>${age > LATE && live ? text.lastPicture(durationOf(age)) : text.pictureAt(fullOf(picture.time))}</span>` : ''}</p>
    <p class="hint">${text.records(camera.records)}${live?.width ? ` · ${live.codec} ${live.width} × ${live.height}` : ''}${live?.reconnects ? ` · ${text.reconnects(live.reconnects)}` : ''}${live?.dropped ? ` · ${text.dropped(live.dropped)}` : ''}</p>
  </li>`;
}

const isWell = (live) => !live || live.state === 'live' || live.state === 'connecting';

/** What the watches found while this page was open, newest first. */
export function alertList(state, ctx) {
  const alerts = state.alerts ?? [];
  return html`<section class="alerts" aria-live="polite"><h2>${text.alerts}</h2>
    ${alerts.length ? '' : html`<p class="hint">${text.noAlerts}</p>`}
    <ul class="strip">${alerts.map((one) => html`<li class="alert">
      <button type="button" class="thumb" @click=${() => ctx.store.set({ open: one.moment, t: '' })}>
        <img src="${one.links.picture}?side=120" alt="" width="128" height="72" loading="lazy" @error=${askAgain}>
        <span>${icons.bell} ${one.watch}</span>
        <span class="hint" title=${utcOf(one.time)}>${one.camera} ${clockOf(one.time)} · ${percentOf(one.score)}</span></button></li>`)}</ul></section>`;
}
