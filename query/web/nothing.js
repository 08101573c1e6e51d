// Says that nothing was found: what of the asked time was watched, what would be found, and what came closest.

import { html, nothing, svg } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { blobsOf, isQuestion, keyOf, paramsOf } from './ask.js';
import { daysLabel, durationOf, fullOf, hoursLabel, percentOf, spanOf, utcOf } from './format.js';
import { icons } from './icons.js';
import { card } from './results.js';
import { store } from './state.js';
import { text as t } from './strings.js';

const ENOUGH = 0.9; // share of the asked time that makes an absence likely
const TRIED = 10; // moments asked for to tell how many there are

const ms = (time) => Date.parse(time);

/** The spans of coverage by camera, cut to the asked time: [{camera, watched, gaps, share, from, to}]. */
function coverageByCamera(coverage, { from, to, camera }, now = Date.now()) {
  const first = from ? ms(from) : Math.min(...coverage.map((one) => ms(one.start)));
  const last = Math.min(to ? ms(to) : Math.max(...coverage.map((one) => ms(one.end))), now);
  const names = [...new Set([...camera, ...coverage.map((one) => one.camera)])].sort();
  return names.map((name) => {
    const spans = coverage.filter((one) => one.camera === name).map((one) => ({
      start: Math.max(ms(one.start), first), end: Math.min(ms(one.end), last), state: one.state, cause: one.cause,
    })).filter((one) => one.end > one.start);
    const watched = spans.filter((one) => one.state === 'watched');
    const length = watched.reduce((sum, one) => sum + one.end - one.start, 0);
    return { camera: name, from: first, to: last, watched, gaps: spans.filter((one) => one.state !== 'watched'),
      length, share: last > first ? length / (last - first) : 0 };
  });
}

function coverageBar(row) {
  const width = row.to - row.from;
  const rect = (span, name) => svg`<rect class=${name} x=${((span.start - row.from) / width) * 1000}
    width=${Math.max(4, ((span.end - span.start) / width) * 1000)} height="10"><title>${spanOf(span.start, span.end)} ${span.cause ?? ''}</title></rect>`;
  return html`<svg class="watched" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=${t.nothing.share(row.camera, percentOf(row.share))}>
    <rect class="track" width="1000" height="10"/>${row.watched.map((one) => rect(one, 'yes'))}${row.gaps.map((one) => rect(one, 'gap'))}</svg>`;
}

function causes(row) {
  const sums = new Map();
  for (const gap of row.gaps) {
    const sum = sums.get(gap.cause) ?? { length: 0, count: 0 };
    sums.set(gap.cause, { length: sum.length + gap.end - gap.start, count: sum.count + 1 });
  }
  return [...sums].sort((a, b) => b[1].length - a[1].length).slice(0, 3).map(([cause, { length, count }]) =>
    html`<li>${t.nothing.gaps('', durationOf(length / 1000), cause, count)}</li>`);
}

/** Rows of bars: with the share of the asked time, or where no time was asked how much was watched. */
function coverageView(rows, isTimed) {
  if (!rows.length || !(rows[0].to > rows[0].from)) return nothing;
  const end = (time) => html`<time title=${utcOf(time)}>${fullOf(time)}</time>`;
  return html`<section class="coverage"><h2>${t.nothing.coverage}</h2>
    <div class="ends">${end(rows[0].from)}${end(rows[0].to)}</div>
    <ul>${rows.map((row) => html`<li><span class="who">${row.camera}</span>${coverageBar(row)}<span class="part">${isTimed ? percentOf(row.share) : durationOf(row.length / 1000)}</span>
      ${row.gaps.length ? html`<ul class="causes">${causes(row)}</ul>` : nothing}</li>`)}</ul></section>`;
}

/** When the cameras of these rows were indexed, where they were not at the asked time. */
function whenIndexed(state, rows) {
  const names = rows.map((row) => row.camera);
  const known = (state.cameras ?? []).filter((one) => names.includes(one.camera) && one.start);
  if (!known.length) return t.nothing.never;
  const first = Math.min(...known.map((one) => ms(one.start)));
  const last = Math.max(...known.map((one) => ms(one.end)));
  return t.nothing.indexed(t.nothing.cameras(known.length, known[0].camera), spanOf(first, last));
}

const wasWatched = (rows) => rows.some((row) => row.share > 0);

function verdict(state, rows) {
  if (!rows.length) return nothing;
  const cameras = t.nothing.cameras(rows.length, rows[0].camera);
  if (state.hours || state.days) return t.nothing.hours(state.hours && hoursLabel(state.hours), state.days && daysLabel(state.days));
  if (!state.from && !state.to) return t.nothing.searched(durationOf(rows.reduce((sum, row) => sum + row.length, 0) / 1000), cameras);
  const share = rows.reduce((sum, row) => sum + row.share, 0) / rows.length;
  if (share === 0) return whenIndexed(state, rows);
  return share >= ENOUGH ? t.nothing.watched(percentOf(share), cameras) : t.nothing.partly(percentOf(share), cameras);
}

/** Smaller questions than these words: their things one by one, without what describes them. */
function smaller(words) {
  const things = words.toLowerCase().split(/\s+(?:with|in|on|near|at|by|and|or|next to|behind|under|riding|holding|carrying|wearing|walking|driving|of)\s+/u);
  const found = things.length > 1 ? things : [];
  for (const thing of things) {
    const [article, ...rest] = /^(?:a|an|the|some|two|three)$/u.test(thing.split(' ')[0]) ? thing.split(' ') : ['', ...thing.split(' ')];
    if (rest.length > 1) found.push([article, rest.at(-1)].join(' ').trim());
  }
  return [...new Set(found)].filter((one) => one && one !== words.toLowerCase()).slice(0, 4);
}

/** What might find something, [{label, patch}], in turns: the next is asked where the one before finds nothing. */
function triesOf(state) {
  const tries = [];
  if (state.camera.length) tries.push({ label: t.nothing.tryAllCameras, patch: { camera: [] } });
  if (state.from || state.to || state.hours || state.days) {
    tries.push({ label: t.nothing.tryAnyTime, patch: { from: '', to: '', hours: '', days: '' } });
  }
  if (state.mark) tries.push({ label: t.nothing.tryMarks, patch: { mark: '' } });
  for (const value of state.minus.filter((one) => !one.includes('~'))) {
    tries.push({ label: t.nothing.tryWithout(value), patch: { minus: state.minus.filter((one) => one !== value) } });
  }
  const q = state.q.replaceAll('"', '');
  const words = smaller(q).map((one) => ({ label: t.nothing.tryWords(one), patch: { q: one } }));
  if (!tries.length) return [words];
  const free = { camera: [], from: '', to: '', hours: '', days: '', mark: '' };
  const everywhere = tries.length > 1 ? [{ label: t.nothing.tryEverything, patch: free }] : [];
  const both = words.map((one) => ({ label: `${one.label} ${t.nothing.tryEverything}`, patch: { ...free, ...one.patch } }));
  return [[...tries, ...words], [...everywhere, ...both]];
}

/** Asks, after nothing was found, which other question finds something. */
export class Tries {
  #key = '';
  #abort = new AbortController();

  constructor() {
    store.subscribe((state) => this.#follow(state));
  }

  #follow(state) {
    const { answer } = state;
    const isNothing = answer?.kind === 'moments' && !answer.moments.length && !state.loading && answer.key === keyOf(state);
    const key = isNothing ? answer.key : '';
    if (key === this.#key) return;
    this.#key = key;
    this.#abort.abort();
    this.#abort = new AbortController();
    if (isNothing) this.#ask(state, triesOf(state), this.#abort.signal);
  }

  async #ask(state, turns, signal) {
    const found = [];
    store.set({ tries: found, trying: turns.flat().length > 0 }, { history: 'none' });
    for (const one of turns.flat()) {
      if (found.length && turns[1]?.includes(one)) break;
      const other = { ...state, ...one.patch };
      try {
        const answer = await api.search({ ...paramsOf(other), limit: TRIED }, blobsOf(other.pictures), { signal });
        if (answer.moments.length) found.push({ ...one, count: answer.moments.length, more: Boolean(answer.next) });
      } catch {
        if (signal.aborted) return; // another question; one that is refused is no advice
      }
      if (found.length) store.set({ tries: [...found] }, { history: 'none' });
    }
    store.set({ trying: false }, { history: 'none' });
  }
}

function triesView(state) {
  const found = state.tries ?? [];
  const take = (patch) => store.set({ ...patch, typing: false });
  return html`<section class="tries"><h2>${t.nothing.tries}</h2>
    ${found.length ? html`<ul class="chips">${found.map((one) => html`<li><button type="button" class="chip try" @click=${() => take(one.patch)}>
      ${one.label}<b>${t.nothing.count(one.count, one.more)}</b></button></li>`)}</ul>` : nothing}
    <p class="hint">${state.trying ? html`${t.nothing.trying}…` : found.length ? nothing : t.nothing.noTries}</p></section>`;
}

export function nothingView(state) {
  const { answer } = state;
  if (answer.kind === 'frames') return html`<section class="nothing"><h1>${t.nothing.titleBrowse}</h1></section>`;
  const rows = coverageByCamera(answer.coverage, state);
  const asked = state.q.replaceAll('"', '');
  const isBlind = (state.from || state.to) && !wasWatched(rows);
  const title = isBlind ? t.nothing.titleBlind : isQuestion(state) && asked ? t.nothing.title(asked) : t.nothing.titlePicture;
  return html`<section class="nothing">
    <header><span class="mark">${icons.search}</span><div><h1>${title}</h1><p>${verdict(state, rows)}</p></div></header>
    <div class="columns">${triesView(state)}${coverageView(rows, state.from || state.to)}</div>
    ${answer.near_misses.length ? html`<section class="misses"><h2>${t.nothing.near}</h2><p class="hint">${t.nothing.nearHint}</p>
      <div class="cards">${answer.near_misses.map((one) => card(one, state, { near: true }))}</div></section>` : nothing}
  </section>`;
}
