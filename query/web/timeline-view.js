// Puts the timeline on the page: follows the store, gets coverage for what is shown, tells on hover and to screen readers.

import { html, render } from './vendor/lit-html/lit-html.js';
import { clockOf, dayOf, durationOf, fullOf, percentOf, preciseOf, utcOf } from './format.js';
import { activate, register } from './keys.js';
import { isoOf, parseId, spanId } from './moment-id.js';
import { text as t } from './strings.js';
import { onPlayhead } from './playhead.js';
import { Timeline } from './timeline.js';
import { ROW } from './timeline-size.js';

const SETTLE = 150; // milliseconds without a move after which coverage is asked for
const TELL = 60; // matches of a camera in the list for screen readers
const TOP = 64; // pixels at the top of the window where the page's head is
const text = t.timeline;

/** The time of a parameter `from` or `to` in milliseconds: ISO 8601, or '-2h' before now; null where there is none. */
export function toMs(value) {
  const ago = /^-(\d+(?:\.\d+)?)([smhd])$/.exec(value ?? '');
  if (ago) return Date.now() - Number(ago[1]) * { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[ago[2]];
  const ms = Date.parse(value ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/**
 * Mount into `element`; options.most limits the rows that are in view; options.around() gives [camera, from, to] to
 * begin with, in place of all that is indexed. */
export const mountTimeline = (element, ctx, options) => new TimelineView(element, ctx, options);

let mounted = 0;

class TimelineView {
  #ctx; #canvas; #tip; #list; #live; #timer = 0; #asking = null; #stops = []; #seen = {}; #data = {}; #told = 0; #keys = []; #around;

  constructor(element, ctx, { most, around = null } = {}) {
    [this.#ctx, this.#around] = [ctx, around];
    const name = `timeline-list-${++mounted}`;
    render(html`
      <div class="timeline-box">
        <canvas class="timeline-canvas" tabindex="0" role="application" aria-label=${text.label}
          aria-describedby=${name}></canvas>
        <div class="timeline-tip" hidden></div>
      </div>
      <div class="offscreen timeline-list" id=${name}></div>
      <div class="offscreen" aria-live="polite"></div>`, element);
    [this.#canvas, this.#tip] = element.firstElementChild.children;
    [, this.#list, this.#live] = element.children;
    this.timeline = new Timeline(this.#canvas, {
      onSeek: (ms, camera, moment) => this.#seek(ms, camera, moment),
      onNarrow: (from, to) => this.#narrow(from, to),
      onView: () => this.#settle(),
      onPoint: (what) => this.#point(what),
      onDrag: (from, to, x) => this.#showDrag(from, to, x),
    }, { most });
    this.#canvas.addEventListener('focus', () => activate('timeline'));
    this.#canvas.addEventListener('focus', () => this.#registerKeys());
    this.#canvas.addEventListener('blur', () => { activate('timeline', false); this.#tip.hidden = true; });
    this.#registerKeys(); // those of the timeline that has the focus act
    this.#stops.push(onPlayhead((ms) => { if (ms !== null) this.timeline.set({ cursor: ms }); }), ctx.store.subscribe((state) => this.#follow(state)));
    this.#follow(ctx.store.get());
  }

  destroy() {
    [...this.#stops, ...this.#keys].forEach((stop) => stop());
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.timeline.destroy();
  }

  #registerKeys() {
    const t = this.timeline;
    const keys = [
      ['ArrowLeft', () => t.stepCursor(-0.02), text.keys.step], ['ArrowRight', () => t.stepCursor(0.02)],
      ['Shift+ArrowLeft', () => t.pan(-0.25), text.keys.pan], ['Shift+ArrowRight', () => t.pan(0.25)],
      ['ArrowUp', () => t.stepRow(-1), text.keys.row], ['ArrowDown', () => t.stepRow(1)],
      ['+', () => t.zoom(0.5), text.keys.zoom], ['=', () => t.zoom(0.5)], ['-', () => t.zoom(2)],
      ['Enter', () => t.seekCursor(), text.keys.seek],
      ['Home', () => this.#showAll(), text.keys.all],
      ['Escape', () => t.escape()],
    ];
    for (const side of ['from', 'to']) keys.push([side === 'from' ? 'i' : 'o', () => this.#setEnd(side), text.keys[side]]);
    this.#keys = keys.map(([key, action, label]) => register('timeline', key, action, label));
  }

  /** Take over what of the state concerns the timeline; only what has changed is drawn anew. */
  #follow(state) {
    const cameras = shownCameras(state);
    const names = cameras.join('\n');
    const data = {};
    if (names !== this.#seen.names) data.cameras = cameras;
    if (state.answer !== this.#seen.answer || data.cameras) data.moments = marksOf(state.answer);
    if (state.from !== this.#seen.from || state.to !== this.#seen.to) {
      Object.assign(data, { from: toMs(state.from), to: toMs(state.to) });
    }
    if (state.t !== this.#seen.t) data.cursor = toMs(state.t);
    const first = this.#seen.names === undefined || (data.cameras && !this.#seen.names);
    const narrowed = 'from' in data && (data.from !== null || data.to !== null) && !this.#narrowing;
    this.#seen = { names, answer: state.answer, from: state.from, to: state.to, t: state.t };
    Object.assign(this.#data, data);
    if (Object.keys(data).length) this.timeline.set(data);
    if (first && this.#around) this.showAround();
    else if (first || (narrowed && !this.#around)) this.#showAll();
    else if (data.cameras) this.#settle();
    if (data.moments) this.#describe();
  }

  #narrowing = false;

  #narrow(from, to) {
    this.#narrowing = true; // the window stays as it is where the person drew in it
    this.#ctx.store.set({ from: isoOf(from), to: isoOf(to), typing: false });
    this.#ctx.say(text.narrowed(fullOf(from), fullOf(to)));
    queueMicrotask(() => queueMicrotask(() => { this.#narrowing = false; }));
  }

  #setEnd(side) {
    const at = this.timeline.cursor;
    if (at === null) return;
    const { from = null, to = null } = this.#data;
    const ends = side === 'from' ? [at, to !== null && to > at ? to : this.timeline.window[1]]
      : [from !== null && from < at ? from : this.timeline.window[0], at];
    this.#narrow(...ends);
  }

  #seek(ms, camera, moment) {
    this.timeline.set({ cursor: ms });
    const { store } = this.#ctx, open = parseId(store.get().open);
    if (moment) store.set({ open: moment.id, t: '' });
    else if (open?.camera === camera) store.set({ t: isoOf(ms) }, { history: 'replace' });
    else if (camera) store.set({ open: spanId(camera, ms, ms), t: '' });
  }

  /** Go to an instant: in the player where it is open, else on the timeline alone. */
  go(ms) {
    this.timeline.set({ cursor: ms });
    this.timeline.reveal(ms);
    const { store } = this.#ctx;
    if (store.get().open) store.set({ t: isoOf(ms) }, { history: 'replace' });
  }

  /** Show the part that this timeline is for. */
  showAround() {
    const [camera, from, to] = this.#around();
    this.timeline.showRow(camera);
    this.timeline.show(from, to);
  }

  /** Show the asked time, or else all that is indexed. */
  #showAll() {
    const { store } = this.#ctx, state = store.get();
    const known = (state.cameras ?? []).filter((one) => shownCameras(state).includes(one.camera));
    const starts = known.map((one) => toMs(one.start)).filter(Boolean);
    const ends = known.map((one) => toMs(one.end)).filter(Boolean);
    const to = toMs(state.to) ?? (ends.length ? Math.max(...ends) : Date.now());
    const from = toMs(state.from) ?? (starts.length ? Math.min(...starts, to - 1) : to - 86_400_000);
    this.timeline.show(from, Math.max(to, from + 1000));
  }

  /** Ask for the coverage of what is shown, and a bit around it, once the window rests. */
  #settle() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), SETTLE);
  }

  async #load() {
    const [start, end] = this.timeline.window, around = (end - start) / 2;
    const camera = this.#data.cameras ?? [];
    this.#asking?.abort();
    this.#asking = new AbortController();
    if (!camera.length) return;
    try {
      const { coverage } = await this.#ctx.api.coverage({
        camera, from: isoOf(start - around), to: isoOf(end + around),
        resolution: Math.max(0.001, Math.round(end - start) / 2000 / 1000),
      }, { signal: this.#asking.signal });
      this.#data.coverage = coverage;
      this.timeline.set({ coverage });
      this.#describe();
    } catch (error) {
      if (error.name !== 'AbortError') this.#ctx.say(error.message);
    }
  }

  /** Tell at the pointer, or aloud at the keyboard's playhead, what is there. */
  #point(what) {
    this.#tip.hidden = !what || !what.camera;
    if (this.#tip.hidden) return;
    const lines = describe(what);
    if (what.keyboard) this.#live.textContent = lines.join(', ');
    const picture = what.moment && this.#ctx.api.frameUrl(what.moment.best.frame, { side: 120 });
    render(html`${picture ? html`<img src=${picture} alt="" width="160" height="90">` : ''}
      ${lines.map((line) => html`<p>${line}</p>`)}`, this.#tip);
    this.#place(what.x, what.y);
  }

  #showDrag(from, to, x) {
    this.#tip.hidden = false;
    render(html`<p>${fullOf(from)}</p><p>${fullOf(to)}</p><p>${durationOf((to - from) / 1000)}</p>`, this.#tip);
    this.#place(x, 40);
  }

  #place(x, y) {
    const room = this.#canvas.clientWidth - this.#tip.offsetWidth - 4;
    this.#tip.style.left = `${Math.max(4, Math.min(room, x + 14))}px`;
    const { top } = this.#canvas.getBoundingClientRect(), tall = this.#tip.offsetHeight + 6;
    this.#tip.style.top = `${top + y - tall > TOP ? y - tall : y + ROW + 6}px`;
  }

  /** The same for who does not see the canvas. It is written when nothing else is to do. */
  #describe() {
    const tell = () => {
      const [start, end] = this.timeline.window;
      render(html`<p>${text.shows(fullOf(start), fullOf(end))}</p>
        <ul>${(this.#data.cameras ?? []).map((camera) => html`<li>${this.#tellCamera(camera, start, end)}</li>`)}</ul>`,
        this.#list);
    };
    cancelIdleCallback(this.#told);
    this.#told = requestIdleCallback(tell, { timeout: 1000 });
  }

  #tellCamera(camera, start, end) {
    const inView = (one) => one.camera === camera && Date.parse(one.end) >= start && Date.parse(one.start) <= end;
    const spans = (this.#data.coverage ?? []).filter(inView);
    const length = (one) => Math.min(end, Date.parse(one.end)) - Math.max(start, Date.parse(one.start));
    const watched = spans.filter((one) => one.state === 'watched').reduce((sum, one) => sum + length(one), 0);
    const gaps = spans.filter((one) => one.state !== 'watched' && one.cause).slice(0, TELL);
    const moments = (this.#data.moments ?? []).filter(inView);
    return html`${text.watched(camera, durationOf(watched / 1000), durationOf((end - start) / 1000))}
      <ul>
        ${gaps.map((one) => html`<li>${text.gap(fullOf(one.start), fullOf(one.end), one.cause)}</li>`)}
        <li>${text.matches(moments.length)}</li>
        ${moments.slice(0, TELL).map((one) => html`<li>${[fullOf(one.start), ...scoreOf(one)].join(', ')}</li>`)}
      </ul>`;
  }
}

function describe({ ms, camera, moment, span }) {
  const lines = [camera, `${dayOf(ms)} ${clockOf(ms)}`];
  if (moment) lines.push([`${text.kinds[moment.kind]}: ${preciseOf(moment.best.time)}`, ...scoreOf(moment)].join(', '));
  else if (span?.state === 'watched') lines.push(span.cause ? `${text.wasWatched} (${span.cause})` : text.wasWatched);
  else if (span) lines.push(`${text.noFootage}: ${span.cause || text.noCause}`, `${clockOf(span.start)} – ${clockOf(span.end)}`);
  else lines.push(text.unknown);
  return [...lines, utcOf(ms).replace(/\.\d+/, '')];
}

const scoreOf = ({ score }) => (score === null ? [] : [percentOf(score)]);

function shownCameras(state) {
  const all = (state.cameras ?? []).map((one) => one.camera);
  const asked = state.camera ?? [];
  return asked.length ? asked : all;
}

function marksOf(answer) {
  if (!answer) return [];
  const kind = (moment) => moment.mark?.mark || (moment.score === null ? 'frame' : 'plain');
  return [
    ...(answer.near_misses ?? []).map((one) => ({ ...one, kind: 'near' })),
    ...(answer.moments ?? []).map((one) => ({ ...one, kind: kind(one) })),
  ];
}
