// Starts the page: logs in, reads the state of the service, and draws what the state says.

import { html, noChange, nothing, render } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { Asker } from './ask.js';
import { closeMenus, filtersView } from './filters.js';
import { sentence } from './format.js';
import { icons } from './icons.js';
import * as keys from './keys.js';
import { helpView, showHelp } from './help.js';
import { LOGGED_OUT, loginView, logOut } from './login.js';
import { nothingView, Tries } from './nothing.js';
import { Parts } from './parts.js';
import { resultsView, toolsView } from './results.js';
import { boxView, chipsView, focusBox, listenForPictures } from './search.js';
import { addView, bannerView, firstRunView, hasFailed, isFirstRun, isUp } from './setup.js';
import { address, store, toggleSelected } from './state.js';
import { text as t } from './strings.js';
import { heightOf } from './timeline-size.js';

const NAV = [['', icons.search], ['live', icons.live], ['watches', icons.bell], ['shares', icons.link], ['add', icons.plus]];
const REFRESH = 5000; // milliseconds between two looks at the service's state
const TICK = { history: 'none' };
const FIND_PARTS = ['timeline', 'review', 'tune', 'goto']; // what the search page consists of, beside the results
const PAGES = ['live', 'watches', 'shares'];
const parts = new Parts(() => {
  draw(store.get());
  if (parts.areMissing || FIND_PARTS.every((one) => parts.get(one))) keys.release();
});
const host = (name) => document.getElementById(name);

let silence = 0;

/** Tells something in passing, to the eye and to a screen reader. */
function say(message) {
  clearTimeout(silence);
  store.set({ said: message }, TICK);
  silence = setTimeout(() => store.set({ said: '' }, TICK), 6000);
}

const ctx = { store, api, say };

const asker = new Asker(store);
new Tries();

let isEntering = false;

async function enter() {
  if (isEntering) return;
  isEntering = true;
  try {
    const [session, status, listed] = await Promise.all([api.session(), api.status().catch(() => null), api.cameras().catch(() => null)]);
    store.set({ session, status, cameras: listed?.cameras ?? null, error: null }, TICK); // the subscriber below goes on
  } catch (error) {
    if (error.status === 401) store.set({ session: null }, TICK);
    else store.set({ error }, TICK);
  }
  isEntering = false;
}

let isAway = false; // whether the service did not answer when it was last asked

/** Reads the state of the service, and its cameras once there are any. */
async function refresh(known = null) {
  const { session } = store.get();
  if (document.hidden || session === null) return;
  if (session === undefined) return await enter();
  try {
    const status = known ?? await api.status();
    store.set({ status }, TICK);
    parts.again();
    if (isUp(status)) store.set({ cameras: (await api.cameras()).cameras }, TICK);
    if (isAway) {
      store.set({ error: null }, TICK);
      asker.repeat();
    }
    isAway = false;
  } catch (error) {
    isAway = error.status === 0 || error.status === 503;
    if (isAway) store.set({ error }, TICK);
  }
}

function goTo(event, view) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  store.set({ view, open: '' });
}

function headerView(state) {
  const isAdmin = state.session.role === 'admin';
  const entries = NAV.filter(([view]) => (view !== 'add' || isAdmin) && (view !== 'shares' || state.session.role !== 'view'));
  return html`<header class="top">
    <a class="brand" href="/" @click=${(e) => { e.preventDefault(); goHome(); }}><img src="/web/icon.svg" alt="" width="26" height="26"><span>${t.app.name}</span></a>
    ${state.view ? html`<span class="box"></span>` : boxView(state)}
    <nav class="nav" aria-label=${t.app.navLabel}>${entries.map(([view, icon]) => html`
      <a href=${address(state, { view, open: '' })} title=${t.app.nav[view]} aria-current=${state.view === view ? 'page' : nothing} @click=${(e) => goTo(e, view)}>${icon}<span>${t.app.nav[view]}</span>${view === 'watches' && state.unseen ? html`<b class="unseen">${state.unseen}</b>` : nothing}</a>`)}</nav>
    <div class="me">
      <button type="button" class="ghost" title=${`${t.app.help} (?)`} aria-label=${t.app.help} @click=${() => store.set({ help: true }, TICK)}>${icons.keys}</button>
      ${state.session.token_needed ? html`<button type="button" class="ghost" title=${`${t.app.logOut}: ${t.app.as(state.session.name, state.session.role)}`} aria-label=${t.app.logOut} @click=${logOut}>${icons.exit}</button>` : nothing}
    </div>
  </header>`;
}

const goHome = () => {
  store.set({ view: '', q: '', plus: [], minus: [], camera: [], from: '', to: '', hours: '', days: '', mark: '', open: '', pictures: [], parts: [] });
  focusBox();
};

let drawn = []; // what the content was last drawn of

/** The content, drawn anew only where something that it shows has changed: there may be hundreds of cards. */
function contentOnce(state) {
  const { answer, error, loading, by, boxes, selected, unfolded, tries, trying } = state;
  const now = [answer, error, loading, by, boxes, selected, unfolded, tries, trying, address(state, { open: '', t: '' })];
  if (answer?.moments.length && !isFirstRun(state) && now.every((one, i) => one === drawn[i])) return noChange;
  drawn = now;
  return contentView(state);
}

function contentView(state) {
  if (state.error && !state.answer && !hasFailed(state)) return errorView(state.error);
  if (isFirstRun(state)) return state.view ? nothing : firstRunView(state);
  const { answer } = state;
  const isEmpty = answer && !answer.moments.length;
  return html`${state.error ? errorView(state.error) : nothing}${isEmpty ? nothingView(state) : resultsView(state)}`;
}

const errorView = (error) => html`<section class="failure" role="alert"><p><b>${sentence(error.message)}</b> ${sentence(error.hint ?? '')}</p>
  <button type="button" @click=${() => { asker.repeat(); refresh(); }}>${t.app.again}</button></section>`;

const missingView = () => html`<section class="failure missing" role="alert"><p><b>${t.app.missing}</b> ${t.app.missingHint}</p>
  <button type="button" @click=${() => window.location.reload()}>${t.app.reload}</button></section>`;

function findView(state) {
  const first = isFirstRun(state);
  return html`${first ? nothing : html`<div class="asked">${chipsView(state)}${filtersView(state)}</div>`}
    <section id="timeline" class="timeline" ?hidden=${first || state.view}></section>
    ${first ? nothing : toolsView(state)}
    <div id="tune"></div>
    <div id="results" role="region" aria-label=${t.results.title} tabindex="-1" aria-busy=${state.loading ? 'true' : 'false'}>${contentOnce(state)}</div>`;
}

function pageView(state) {
  if (state.session === undefined) return state.error ? html`<main>${errorView(state.error)}</main>` : nothing;
  if (state.session === null) return loginView(state);
  return html`<a class="skip" href="#results" @click=${skip}>${t.app.skip}</a>
    ${headerView(state)}
    <main class="page">
      ${parts.areMissing ? missingView() : nothing}
      ${bannerView(state)}
      <div ?hidden=${state.view !== ''}>${findView(state)}</div>
      <div ?hidden=${state.view !== 'add'} class="narrow">${state.view === 'add' ? addView(state) : nothing}</div>
      ${PAGES.map((view) => html`<div id=${view} ?hidden=${state.view !== view}></div>`)}
    </main>
    <p class="said" role="status">${state.said ?? ''}</p>
    <div id="review"></div>
    <div id="player"></div>
    <div id="goto"></div>
    ${helpView()}
    <p class="drop" aria-hidden="true">${t.search.drop}</p>`;
}

const skip = (event) => {
  event.preventDefault();
  document.getElementById('results').focus();
};

/** What the parts draw above the results and over the page. */
function drawParts(state) {
  const [review, tune] = [parts.get('review'), parts.get('tune')];
  if (review) render(review.selectionBar(state, ctx), host('review'));
  if (tune) render(tune.tuneView(state, ctx), host('tune'));
}

/** Forgets the parts and what was drawn after a log-out. */
function forget() {
  drawn = [];
  parts.forget();
}

let page = ''; // the one of PAGES that is shown

function drawPage(state) {
  if (page !== state.view) parts.get(page)?.leave?.();
  const part = parts.get(state.view);
  if (part && PAGES.includes(state.view)) {
    if (page !== state.view) part.enter?.(ctx);
    render(part.view(state, ctx), host(state.view));
  }
  page = part ? state.view : '';
}

/** Loads what is shown besides results. */
function loadParts(state) {
  parts.load('alerts', (part) => part.listen(ctx));
  if (!isFirstRun(state) && !state.view) {
    parts.load('timeline', (part) => part.mountTimeline(host('timeline'), ctx));
    parts.load('review', (part) => part.registerReviewKeys(ctx));
    parts.load('tune', () => {});
    parts.load('goto', (part) => part.registerGoto(host('goto'), (ms) => parts.mounted('timeline')?.go(ms)));
  }
}

/** Keeps the timeline's place free while it is loaded, so that the results below do not move. */
function reserveTimeline({ camera, cameras, status }) {
  const rows = camera.length || (cameras?.length ?? status?.cameras ?? 1);
  host('timeline').style.minHeight = `${heightOf(rows) + 2}px`; // with its border
}

function draw(state) {
  const view = pageView(state);
  if (view !== nothing) host('starting')?.remove();
  render(view, host('app'));
  document.title = state.q ? `${state.q} · ${t.app.name}` : t.app.name;
  if (!state.session) return forget();
  showHelp(state);
  reserveTimeline(state);
  const isBusy = !state.answer && !state.error && !state.view && !isFirstRun(state); // with the first results, which go first
  if (state.status && isUp(state.status) && !isBusy) loadParts(state);
  if (state.open || state.help) parts.load('player', (part) => part.mountPlayer(host('player'), ctx));
  if (PAGES.includes(state.view)) parts.load(state.view, () => {});
  drawParts(state);
  drawPage(state);
  return watchEnd();
}

const onEnd = new IntersectionObserver((entries) => { if (entries.some((one) => one.isIntersecting)) asker.more(); }, { rootMargin: '800px' });
let [end, shown] = [null, null];

function watchEnd() {
  const now = document.getElementById('more');
  const { answer } = store.get();
  if (now === end && answer === shown) return;
  if (end) onEnd.unobserve(end);
  [end, shown] = [now, answer];
  if (end) { // observed anew for each page: an end that stays in sight is told once only
    onEnd.observe(end);
    end.onclick = () => asker.more();
  }
}

const shots = () => [...document.querySelectorAll('#results .card:not(.near) .shot')];
const focused = () => document.activeElement?.closest?.('.card');

/** Goes to another card; returns whether there is any, for what came before the results is done when they are there. */
function step(by) {
  const all = shots();
  const now = all.indexOf(focused()?.querySelector('.shot'));
  const next = all[Math.min(all.length - 1, Math.max(0, now + by))];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
  return all.length > 0;
}

function selectFocused() {
  const id = focused()?.dataset.id;
  if (id) toggleSelected(id);
  return Boolean(id);
}

function registerKeys() {
  const add = (scope, key, action, label, options) => keys.register(scope, key, action, label, options);
  add('page', '/', focusBox, t.keys.search);
  add('page', 'Ctrl+k', focusBox, '', { typing: true });
  add('page', '?', () => store.set({ help: true }, TICK), t.keys.help);
  add('page', 'Escape', () => closeMenus() || (document.activeElement?.id === 'q' ? (document.activeElement.blur(), true) : false), t.keys.back, { typing: true });
  add('results', 'j', () => step(1), t.keys.next);
  add('results', 'k', () => step(-1), t.keys.previous);
  add('results', 'Enter', () => false, t.keys.open);
  add('results', 'x', selectFocused, t.keys.select);
  add('results', 's', () => { const sorts = Object.keys(t.results.sorts); const { sort } = store.get(); store.set({ sort: sorts[(sorts.indexOf(sort) + 1) % sorts.length] }); }, t.keys.sort);
  add('results', 'b', () => store.set({ boxes: !store.get().boxes }), t.keys.boxes);
  for (let n = 1; n <= 9; n += 1) {
    add('results', String(n), () => toggleCamera(n - 1), n === 1 ? t.keys.camera : '');
  }
}

function toggleCamera(index) {
  const { cameras, camera } = store.get();
  const name = cameras?.[index]?.camera;
  if (name) store.set({ camera: camera.length === 1 && camera[0] === name ? [] : [name] });
}

api.unauthorized.addEventListener('unauthorized', () => { if (store.get().session) store.set(LOGGED_OUT, TICK); });
document.addEventListener('visibilitychange', () => refresh());
document.addEventListener('focusin', (event) => {
  const id = event.target.closest?.('.card')?.dataset.id ?? '';
  if (id !== store.get().focused) store.set({ focused: id }, TICK);
});
store.subscribe(draw);

/**
 * Gives the box the focus, unless something has it already: letters typed since then stay where they went. No `autofocus`:
 * browsers follow it when they draw next, which may be after Escape has left the box.
 */
function focusFirst() {
  const box = document.getElementById('q');
  const isFree = box !== null && !store.get().open && document.activeElement === document.body;
  if (isFree) box.focus();
  return isFree;
}

let wasIn = false;
store.subscribe((state) => {
  if (Boolean(state.session) === wasIn) return;
  wasIn = Boolean(state.session);
  if (!wasIn) return;
  const isFocused = focusFirst();
  (state.cameras ? Promise.resolve() : refresh(state.status)).then(() => isFocused || focusFirst());
});
registerKeys();
listenForPictures();
setInterval(() => refresh(), REFRESH);
draw(store.get());
enter();
