// The timeline: one canvas with a row a camera, from 30 days to 10 seconds; a click seeks, a drag narrows the question.

import { Marks, draw, readColors } from './timeline-draw.js';
import { Scale } from './scale.js';
import { language } from './strings.js';
import { AXIS, ROW, STRIP, heightOf } from './timeline-size.js';

const CLICK = 4; // pixels that a pointer may move and still click
const REACH = 5; // pixels around a pointer in which a mark is met
const HOLD = 350; // milliseconds after which a finger that rests narrows instead of panning

/**
 * Owns a canvas. The caller gives data with `set`, and hears of what the person does:
 * onSeek(ms, camera, moment|null), onNarrow(fromMs, toMs), onView(startMs, endMs) when the window moved,
 * onPoint({ms, camera, moment, span, x, y} | null) when the pointer or the keyboard points at something.
 */
export class Timeline {
  #canvas; #context; #on; #frame = 0; #pointers = new Map(); #stop = new AbortController(); #watcher; #hold = 0; #most;
  #view = {
    rows: [], row: -1, scroll: 0, strip: 0, width: 0, height: 0, from: null, to: null, cursor: null, drag: null,
    scale: new Scale(Date.now() - 86_400_000, Date.now()), colors: null, columns: null, columnKinds: null,
    language, pictures: () => [],
  };

  constructor(canvas, handlers = {}, { most = 0 } = {}) {
    this.#most = most;
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#on = handlers;
    this.#watcher = new ResizeObserver(() => this.#resize());
    this.#watcher.observe(canvas.parentElement ?? canvas);
    const listen = (target, type, handle, options = {}) =>
      target.addEventListener(type, handle, { signal: this.#stop.signal, ...options });
    listen(canvas, 'wheel', (event) => this.#wheel(event), { passive: false });
    listen(canvas, 'pointerdown', (event) => this.#down(event));
    listen(canvas, 'pointermove', (event) => this.#move(event));
    listen(canvas, 'pointerup', (event) => this.#up(event));
    listen(canvas, 'pointercancel', (event) => this.#cancel(event));
    listen(canvas, 'pointerleave', () => this.#on.onPoint?.(null));
    listen(canvas, 'dblclick', (event) => this.zoom(0.25, event.offsetX));
    const restyle = () => { this.#view.colors = null; this.redraw(); };
    listen(matchMedia('(prefers-color-scheme: dark)'), 'change', restyle);
    this.#resize();
  }

  /** The window that is shown, in milliseconds since 1970. */
  get window() { return [this.#view.scale.start, this.#view.scale.end]; }

  get cursor() { return this.#view.cursor; }

  /**
   * Show data; what is left out stays.
   *
   * cameras: names, in order of rows. coverage: {camera, start, end, state, cause}; moments: {camera, start, end,
   * score, kind}, as the API gives them; from, to, cursor: milliseconds or null. pictures: a function of the scale
   * that gives what the strip above the rows shows, or null for no strip.
   */
  set(data) {
    const view = this.#view;
    for (const name of ['from', 'to', 'cursor']) if (name in data) view[name] = data[name];
    if ('pictures' in data) Object.assign(view, { pictures: data.pictures ?? (() => []), strip: data.pictures ? STRIP : 0 });
    if (data.cameras || data.coverage || data.moments) this.#setRows(data);
    if ('cameras' in data || 'pictures' in data) this.#resize();
    this.redraw();
  }

  #setRows({ cameras, coverage, moments }) {
    const old = new Map(this.#view.rows.map((row) => [row.camera, row]));
    const spans = coverage && groupBy(coverage, (c) => ({ ...c, from: Date.parse(c.start), to: Date.parse(c.end) }));
    const marks = moments && groupBy(moments, (m) => ({ ...m, from: Date.parse(m.start), to: Date.parse(m.end) }));
    this.#view.rows = (cameras ?? this.#view.rows.map((row) => row.camera)).map((camera) => ({
      camera,
      coverage: spans ? spans.get(camera) ?? [] : old.get(camera)?.coverage ?? [],
      marks: marks || !old.has(camera) ? new Marks(marks?.get(camera) ?? []) : old.get(camera).marks,
    }));
    this.#view.row = Math.min(this.#view.row, this.#view.rows.length - 1);
  }

  /** Show [start, end] with a margin. */
  show(start, end) {
    this.#view.scale.fit(start, end);
    this.#moved();
  }

  /** Show as much time as now, with `ms` in view. */
  reveal(ms) {
    const { scale } = this.#view;
    if (ms < scale.start || ms > scale.end) scale.pan(scale.x(ms) - (scale.left + scale.right) / 2);
    this.#moved();
  }

  zoom(factor, x = null) {
    const { scale, cursor } = this.#view;
    const inView = cursor !== null && cursor >= scale.start && cursor <= scale.end;
    scale.zoom(factor, x ?? (inView ? scale.x(cursor) : (scale.left + scale.right) / 2));
    this.#moved();
  }

  /** Move the window by a part of its width. */
  pan(part) {
    const { scale } = this.#view;
    scale.pan(part * (scale.right - scale.left));
    this.#moved();
  }

  /** Bring the row of a camera into view. */
  showRow(camera) {
    this.#view.row = this.#view.rows.findIndex((row) => row.camera === camera);
    this.#scrollToRow();
    this.redraw();
  }

  #scrollToRow() {
    const view = this.#view, top = Math.max(0, view.row) * ROW, room = view.height - AXIS - view.strip;
    view.scroll = Math.min(top, Math.max(view.scroll, top + ROW - room));
  }

  /** Go to the next or previous row; what is at the playhead there is pointed at. */
  stepRow(by) {
    const view = this.#view;
    view.row = Math.max(0, Math.min(view.rows.length - 1, Math.max(0, view.row) + by));
    this.#scrollToRow();
    this.#pointAtCursor();
    this.redraw();
  }

  /** Move the playhead by a part of the window's width, and point at what is there. */
  stepCursor(part) {
    const view = this.#view, { scale } = view;
    const at = view.cursor === null || view.cursor < scale.start || view.cursor > scale.end
      ? (scale.start + scale.end) / 2 : view.cursor + part * scale.span;
    view.cursor = at;
    this.reveal(at);
    this.#pointAtCursor();
  }

  #pointAtCursor() {
    const view = this.#view;
    if (view.cursor !== null) this.#on.onPoint?.({ ...this.#what(view.scale.x(view.cursor), Math.max(0, view.row)), keyboard: true });
  }

  /** Seek to the playhead, or to the match under it, on the row that has the focus. */
  seekCursor() {
    const view = this.#view;
    if (view.cursor === null || !view.rows.length) return;
    const found = this.#what(view.scale.x(view.cursor), Math.max(0, view.row));
    this.#on.onSeek?.(found.moment?.from ?? found.ms, found.camera, found.moment);
  }

  /** Draw anew before the next picture of the screen. */
  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const view = this.#view;
    if (!view.width) return;
    view.colors ??= readColors(this.#canvas);
    draw(this.#context, view);
  }

  destroy() {
    this.#stop.abort();
    this.#watcher.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#hold);
  }

  #moved() {
    this.redraw();
    this.#on.onView?.(this.#view.scale.start, this.#view.scale.end);
  }

  #resize() {
    const view = this.#view, ratio = window.devicePixelRatio || 1;
    const width = (this.#canvas.parentElement ?? this.#canvas).clientWidth;
    const height = view.strip + heightOf(view.rows.length, this.#most);
    if (!width) return;
    Object.assign(view, { width, height, columns: new Float32Array(width), columnKinds: new Int32Array(width) });
    Object.assign(view.scale, { left: Math.min(150, Math.round(width * 0.24)), right: width });
    Object.assign(this.#canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    Object.assign(this.#canvas.style, { width: `${width}px`, height: `${height}px` });
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#scrollBy(0);
    this.drawNow(); // at once: a canvas that changed its size is empty
  }

  #scrollBy(pixels) {
    const view = this.#view, most = view.rows.length * ROW - (view.height - AXIS - view.strip);
    const before = view.scroll;
    view.scroll = Math.max(0, Math.min(most, view.scroll + pixels));
    return view.scroll !== before;
  }

  /** What is at a pixel of a row: the time, the match near it, the span of coverage that holds it. */
  #what(x, index) {
    const view = this.#view, row = view.rows[index], ms = view.scale.ms(x);
    if (!row) return { ms, camera: null, moment: null, span: null, x, y: AXIS };
    const reach = REACH / (view.scale.right - view.scale.left) * view.scale.span;
    const span = row.coverage.find((one) => one.from <= ms && ms < one.to)
      ?? row.coverage.find((one) => one.cause && one.from - reach <= ms && ms < one.to + reach) ?? null;
    const y = AXIS + view.strip + index * ROW - view.scroll;
    return { ms, camera: row.camera, moment: row.marks.at(ms, reach), span, x, y };
  }

  #rowAt(y) {
    const view = this.#view, top = AXIS + view.strip;
    return y < top ? -1 : Math.min(view.rows.length - 1, Math.floor((y - top + view.scroll) / ROW));
  }

  #wheel(event) {
    const { scale } = this.#view;
    const pixels = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [dx, dy] = [event.deltaX * pixels, event.deltaY * pixels];
    event.preventDefault();
    if (event.offsetX < scale.left && this.#scrollBy(dy)) return this.redraw();
    if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) scale.pan(dx || dy);
    else scale.zoom(Math.exp(dy * (event.ctrlKey ? 0.01 : 0.0018)), Math.max(scale.left, event.offsetX));
    return this.#moved();
  }

  #down(event) {
    if (event.button > 1) return;
    this.#canvas.setPointerCapture(event.pointerId);
    const start = { x: event.offsetX, y: event.offsetY, firstX: event.offsetX, firstY: event.offsetY, what: 'click' };
    start.pans = event.pointerType === 'touch' || event.shiftKey || event.button === 1 || event.offsetY < AXIS;
    this.#pointers.set(event.pointerId, start);
    clearTimeout(this.#hold);
    if (event.pointerType === 'touch') this.#hold = setTimeout(() => { start.pans = false; }, HOLD);
  }

  #move(event) {
    const pointer = this.#pointers.get(event.pointerId), view = this.#view;
    if (!pointer) {
      const index = this.#rowAt(event.offsetY);
      this.#on.onPoint?.(event.offsetX < view.scale.left ? null : this.#what(event.offsetX, index));
      return;
    }
    const [dx, dy] = [event.offsetX - pointer.x, event.offsetY - pointer.y];
    const before = this.#spread();
    Object.assign(pointer, { x: event.offsetX, y: event.offsetY });
    if (this.#pointers.size === 2) return this.#pinch(before);
    if (Math.hypot(pointer.x - pointer.firstX, pointer.y - pointer.firstY) > CLICK && pointer.what === 'click') {
      pointer.what = pointer.pans ? 'pan' : 'narrow';
      clearTimeout(this.#hold);
    }
    if (pointer.what === 'pan') {
      view.scale.pan(-dx);
      this.#scrollBy(-dy);
      this.#moved();
    } else if (pointer.what === 'narrow') {
      const ends = [pointer.firstX, pointer.x].map((x) => view.scale.ms(Math.max(view.scale.left, x)));
      view.drag = ends.sort((a, b) => a - b);
      this.#on.onDrag?.(...view.drag, view.scale.x(view.drag[1]));
      this.redraw();
    }
  }

  #spread() {
    const [a, b] = [...this.#pointers.values()];
    return b ? { wide: Math.max(20, Math.abs(a.x - b.x)), middle: (a.x + b.x) / 2 } : null;
  }

  #pinch(before) {
    const after = this.#spread();
    for (const pointer of this.#pointers.values()) pointer.what = 'pinch';
    clearTimeout(this.#hold);
    this.#view.scale.pan(before.middle - after.middle);
    this.#view.scale.zoom(before.wide / after.wide, after.middle);
    this.#moved();
  }

  #up(event) {
    const pointer = this.#pointers.get(event.pointerId), view = this.#view;
    this.#cancel(event);
    if (!pointer || (pointer.what === 'narrow' && !view.drag)) return;
    if (pointer.what === 'narrow') {
      const [from, to] = view.drag;
      Object.assign(view, { drag: null, from: Math.round(from), to: Math.round(to) });
      this.#on.onNarrow?.(view.from, view.to);
    } else if (pointer.what === 'click' && pointer.x >= view.scale.left) {
      const index = this.#rowAt(pointer.y);
      if (index >= 0) view.row = index;
      const found = this.#what(pointer.x, index);
      view.cursor = found.ms;
      this.#on.onSeek?.(found.moment?.from ?? found.ms, found.camera, found.moment);
    }
    this.redraw();
  }

  #cancel(event) {
    clearTimeout(this.#hold);
    this.#pointers.delete(event.pointerId);
    if (event.type === 'pointercancel') {
      this.#view.drag = null;
      this.redraw();
    }
  }

  /** Give up a drag that has begun; tells whether there was one. */
  escape() {
    const dragging = this.#view.drag !== null;
    this.#pointers.clear();
    this.#view.drag = null;
    this.redraw();
    return dragging;
  }
}

function groupBy(items, convert) {
  const groups = new Map();
  for (const item of items) {
    const one = convert(item);
    if (!groups.has(one.camera)) groups.set(one.camera, []);
    groups.get(one.camera).push(one);
  }
  return groups;
}
