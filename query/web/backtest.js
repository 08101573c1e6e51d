// Shows when a watch would have fired, as pictures on a timeline, with the threshold as a slider that answers at once.

import { html } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { fullOf, percentOf } from './format.js';
import { isoOf } from './moment-id.js';
import { text as t } from './strings.js';
import { Timeline } from './timeline.js';

const text = t.backtest;
const SPANS = { '1d': 86_400_000, '7d': 7 * 86_400_000, '30d': 30 * 86_400_000 };
const SIDE = 120; // pixels of a picture's shorter side
const SLOT = 104; // pixels that a picture takes on the timeline
const [WIDE, TALL] = [96, 54];

let test = null; // {name, span, threshold, from, to, busy, error, answer, exact, timeline, images}; exact: threshold -> firings

export const isOpen = (name) => test?.name === name;

export function close() {
  test?.timeline?.destroy();
  test?.asking.abort();
  test = null;
}

export function toggle(watch, ctx) {
  const was = isOpen(watch.name);
  close();
  if (!was) {
    test = { name: watch.name, watch, span: '1d', threshold: watch.threshold, images: new Map(), asking: new AbortController() };
    run(ctx);
  }
  ctx.store.set({}, { history: 'none' });
}

async function run(ctx) {
  const mine = test, to = Date.now(), from = to - SPANS[mine.span];
  Object.assign(mine, { busy: true, error: '', from, to });
  mine.asking.abort();
  mine.asking = new AbortController();
  try {
    mine.answer = await api.testWatch(mine.name, { from: isoOf(from), to: isoOf(to) }, { signal: mine.asking.signal });
    mine.exact = new Map([[mine.watch.threshold, mine.answer.firings]]);
  } catch (error) {
    if (error.name === 'AbortError') return;
    mine.error = api.explain(error);
  }
  mine.busy = false;
  if (test !== mine) return;
  ctx.store.set({}, { history: 'none' });
  requestAnimationFrame(() => mount(ctx));
}

/** What fires at a threshold: as the service ran it, or at once about that: the candidates that reach it. */
const firingsAt = (threshold) => test.exact.get(threshold) ?? test.answer.candidates.filter((one) => one.score >= threshold);

/** Have the service run the watch at the threshold that was chosen. */
async function refine(ctx) {
  const mine = test, { threshold } = mine;
  if (!mine.answer || mine.exact.has(threshold)) return;
  try {
    const span = { from: isoOf(mine.from), to: isoOf(mine.to), threshold };
    const { firings } = await api.testWatch(mine.name, span, { signal: mine.asking.signal });
    mine.exact.set(threshold, firings);
    if (test === mine) update(ctx);
  } catch (error) {
    if (error.name !== 'AbortError') ctx.say(api.explain(error));
  }
}

function mount(ctx) {
  const canvas = document.querySelector('.backtest canvas');
  if (!canvas || !test?.answer || test.error) return;
  test.timeline?.destroy();
  test.timeline = new Timeline(canvas, {
    onSeek: (_, __, moment) => { if (moment) ctx.store.set({ open: moment.id, t: '' }); },
  });
  update(ctx, true);
}

/** Show the firings of the present threshold. */
function update(ctx, whole = false) {
  const firings = firingsAt(test.threshold), { timeline } = test;
  const cameras = [...new Set(test.answer.candidates.map((one) => one.camera))].sort();
  const moments = firings.map((one) => ({ ...one, id: one.moment, kind: 'fired' }));
  timeline?.set({ ...(whole ? { cameras, pictures: (scale) => placePictures(scale) } : {}), moments });
  if (whole) {
    const times = test.answer.candidates.map((one) => Date.parse(one.time));
    timeline?.show(times.length ? Math.min(...times) : test.from, times.length ? Math.max(...times) + 1000 : test.to);
  }
  test.firings = firings;
  ctx.store.set({}, { history: 'none' });
}

/** The best firing of each place that has room for a picture, in order of time. */
function placePictures(scale) {
  const slots = new Map();
  for (const one of test?.firings ?? []) {
    const ms = Date.parse(one.time), slot = Math.floor(scale.x(ms) / SLOT);
    if (ms < scale.start || ms > scale.end) continue;
    if (!slots.has(slot) || slots.get(slot).score < one.score) slots.set(slot, { ...one, ms });
  }
  return [...slots.values()].sort((a, b) => a.ms - b.ms)
    .map(({ ms, frame }) => ({ ms, image: picture(frame), wide: WIDE, tall: TALL }));
}

function picture(frame) {
  const { images } = test, mine = test;
  if (!images.has(frame)) {
    const image = new Image();
    images.set(frame, image);
    image.onload = () => { if (test === mine) mine.timeline?.redraw(); };
    image.src = api.frameUrl(frame, { side: SIDE });
  }
  const image = images.get(frame);
  return image.complete && image.naturalWidth ? image : null;
}

/** The part below a watch in the list. */
export function panel(watch, ctx) {
  const { answer, busy, error, threshold } = test;
  const set = (event) => {
    test.threshold = Number(event.target.value);
    update(ctx);
  };
  const ask = (event) => {
    test.span = event.target.value;
    run(ctx);
    ctx.store.set({}, { history: 'none' });
  };
  const firings = answer ? firingsAt(threshold) : [];
  return html`<div class="backtest" role="group" aria-label=${text.title}>
    <div class="choices">
      <label>${text.span} <select @change=${ask}>${Object.keys(SPANS).map((one) => html`
        <option value=${one} ?selected=${one === test.span}>${t.app.spans[one]}</option>`)}</select></label>
      <label class="wide">${text.threshold(percentOf(threshold))}
        <input type="range" min="0.1" max="0.95" step="0.01" .value=${String(threshold)} ?disabled=${!answer} @input=${set} @change=${() => refine(ctx)}></label>
      <output>${busy ? text.running : answer ? text.firings(firings.length, answer.frames, test.exact.has(threshold)) : ''}</output>
    </div>
    ${error ? html`<p class="error" role="alert">${error}</p>` : ''}
    <div class="backtest-timeline" ?hidden=${!answer || !answer.candidates.length}><canvas role="img" aria-label=${text.timeline(firings.length)}></canvas></div>
    ${answer && !answer.candidates.length && !busy ? html`<p>${text.nothing}</p>` : ''}
    <ol class="offscreen">${firings.slice(0, 100).map((one) => html`<li>${text.firing(one.camera, fullOf(one.time), percentOf(one.score))}</li>`)}</ol>
    ${answer && threshold !== watch.threshold ? html`<p class="hint">${text.differs(percentOf(watch.threshold), answer.firings.length)}</p>` : ''}
  </div>`;
}
