// Shows what was found as cards, with the tools to order, group and fold them.

import { html, nothing } from './vendor/lit-html/lit-html.js';
import { repeat } from './vendor/lit-html/directives/repeat.js';
import { frameUrl } from './api.js';
import { isQuestion } from './ask.js';
import { clockOf, dayOf, fullOf, lengthOf, percentOf, utcOf } from './format.js';
import { icons } from './icons.js';
import { momentOfId } from './moment-id.js';
import { hidePreview, showPreview } from './preview.js';
import { address, store, toggleSelected } from './state.js';
import { text as t } from './strings.js';

const seconds = (moment) => (Date.parse(moment.end) - Date.parse(moment.start)) / 1000;
const isTall = window.devicePixelRatio > 1;

/** A bar of a share from 0 to 1; drawn by attributes, which the policy allows where styles are refused. */
export const bar = (share, label) => html`<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=${label}>
  <rect class="track" width="100" height="4"/><rect class="value" width=${Math.max(1, share * 100)} height="4"/></svg>`;

function badges(moment) {
  const mark = moment.mark?.mark;
  return html`${mark === 'keep' ? html`<span class="badge keep">${icons.star}${t.search.marks.keep}</span>` : nothing}
    ${mark === 'dismiss' ? html`<span class="badge">${t.search.marks.dismiss}</span>` : nothing}
    ${moment.exported ? html`<span class="badge done">${icons.check}${t.results.exported}</span>` : nothing}`;
}

function picture(moment, state, label) {
  const url = frameUrl(moment.best.frame, { side: isTall ? 480 : 240, boxes: state.boxes ? 1 : '' });
  const lost = ({ target }) => {
    const plain = target.src.replace(/[?&]boxes=1/u, '');
    if (target.src !== plain) target.src = plain; // better without boxes than none
    else target.closest('.shot').classList.add('lost');
  };
  const loaded = (event) => event.target.closest('.shot').classList.remove('lost');
  return html`<img loading="lazy" decoding="async" width="320" height="180" alt=${label} src=${url} @error=${lost} @load=${loaded}>`;
}

let [drawn, before, behind] = [null, '', '']; // the state whose address this is, in front of a moment's id and behind it

/** The address of a moment; all but its id is made once for all cards of a state. */
function addressOf(state, id) {
  if (drawn !== state) [drawn, [before, behind]] = [state, address(state, { open: '\u0001', t: '' }).split('%01')];
  return before + encodeURIComponent(id) + behind;
}

/** A card; `near`: a near miss, which cannot be selected. */
export function card(moment, state, { near = false } = {}) {
  const length = seconds(moment);
  const when = fullOf(moment.best.time);
  const label = moment.score === null ? t.results.frame(moment.camera, when) :
    t.results.moment(moment.camera, when, lengthOf(length));
  const open = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    store.set({ open: moment.id });
  };
  const isSelected = state.selected.has(moment.id);
  const alike = state.unfolded?.get(moment.id);
  return html`<article class="card ${near ? 'near' : ''} ${isSelected ? 'selected' : ''} ${moment.mark?.mark === 'dismiss' ? 'dismissed' : ''}" data-id=${moment.id}>
    <a class="shot" href=${addressOf(state, moment.id)} @click=${open} title=${moment.missing || nothing}>
      ${picture(moment, state, label)}
      <span class="none">${moment.missing || t.results.noPicture}</span>
      <span class="badges">${badges(moment)}</span>
      ${length >= 0.5 ? html`<span class="length">${lengthOf(length)}</span>` : nothing}
    </a>
    ${near ? nothing : html`<input class="tick" type="checkbox" tabindex="-1" .checked=${isSelected}
      aria-label=${t.results.select(label)} @change=${() => toggleSelected(moment.id)}>`}
    ${moment.score === null ? nothing : bar(moment.score, t.results.probability(percentOf(moment.score)))}
    <div class="facts">
      <span class="who">${moment.camera}</span>
      ${moment.score === null ? nothing : html`<span class="score" title=${t.results.probability(percentOf(moment.score))}>${percentOf(moment.score)}</span>`}
      <time datetime=${moment.best.time} title=${[utcOf(moment.best.time), moment.clock && t.results.clock(moment.clock)].filter(Boolean).join('\n')}><span>${dayOf(moment.best.time)}</span> <b>${clockOf(moment.best.time)}</b></time>
      ${moment.count > 1 ? html`<button type="button" class="alike" aria-expanded=${Boolean(alike)} @click=${() => unfold(moment)}>
        ${icons.stack}${alike ? t.results.fewer : t.results.alike(moment.count - 1)}</button>` : nothing}
    </div>
  </article>${alike ? alike.map((one) => card(one, state)) : nothing}`;
}

function unfold(moment) {
  const unfolded = new Map(store.get().unfolded);
  if (!unfolded.delete(moment.id)) unfolded.set(moment.id, moment.others.map((id) => ({ ...momentOfId(id), score: moment.score, clock: moment.clock })));
  store.set({ unfolded }, { history: 'none' });
}

function groupsOf(moments, by) {
  if (!by) return [['', moments]];
  const ordered = by === 'time' ? [...moments].sort((a, b) => Date.parse(b.best.time) - Date.parse(a.best.time)) : moments;
  const groups = new Map();
  for (const moment of ordered) {
    const name = by === 'camera' ? moment.camera : dayOf(moment.best.time);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(moment);
  }
  return by === 'camera' ? [...groups].sort(([a], [b]) => a.localeCompare(b)) : [...groups];
}

const cards = (moments, state) => html`<div class="cards">${repeat(moments, (one) => one.id, (one) => card(one, state))}</div>`;

function segments(label, names, value, change) {
  return html`<fieldset class="segments"><legend class="offscreen">${label}</legend>${Object.entries(names).map(([key, name]) => html`
    <button type="button" aria-pressed=${key === value} @click=${() => change(key)}>${name}</button>`)}</fieldset>`;
}

const toggle = (label, hint, on, change) => html`<label class="switch" title=${hint}>
  <input type="checkbox" role="switch" .checked=${on} @change=${(event) => change(event.target.checked)}>${label}</label>`;

const { score: _, ...orders } = t.results.sorts; // what is only browsed has no best

/** How many were found, and how they are shown; where there is nothing to show, only the place is kept, so that nothing jumps. */
export function toolsView(state) {
  const { answer } = state;
  const count = !answer ? '' : answer.kind === 'frames' ? t.results.browsing(answer.moments.length) :
    t.results.found(answer.moments.length, Boolean(answer.next));
  return html`<div class="tools ${answer && !answer.moments.length ? 'idle' : ''}">
    <p class="count" role="status">${state.loading && !answer ? t.results.searching : count}</p>
    ${segments(t.results.sort, isQuestion(state) ? t.results.sorts : orders, isQuestion(state) || state.sort === 'oldest' ? state.sort : 'time', (sort) => store.set({ sort }))}
    ${segments(t.results.group, t.results.groups, state.by, (by) => store.set({ by }))}
    ${toggle(t.results.boxes, t.results.boxesHint, state.boxes, (boxes) => store.set({ boxes }))}
    ${isQuestion(state) ? toggle(t.results.fold, t.results.foldHint, state.fold, (fold) => store.set({ fold })) : nothing}
  </div>`;
}

export function resultsView(state) {
  const { answer } = state;
  if (!answer) return html`<div class="cards waiting" aria-hidden="true">${Array.from({ length: 12 }, () => html`<div class="card ghostly"></div>`)}</div>`;
  const groups = groupsOf(answer.moments, state.by);
  return html`<div class="found ${state.loading ? 'old' : ''}" @pointerover=${showPreview} @pointerleave=${hidePreview} @focusin=${showPreview} @focusout=${hidePreview}>
    ${answer.complete ? nothing : html`<p class="hint">${answer.problem || t.results.incomplete}</p>`}
    ${groups.map(([name, moments]) => html`${name ? html`<h2 class="group">${name}<span>${moments.length}</span></h2>` : nothing}${cards(moments, state)}`)}
    ${answer.next ? html`<button type="button" class="more" id="more">${t.results.more}</button>` : nothing}
  </div>`;
}
