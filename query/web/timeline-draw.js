// Draws the timeline: the axis, a row a camera with its coverage and matches, the asked time and the playhead.

import { axis } from './scale.js';
import { AXIS, ROW } from './timeline-size.js';

const LOWEST = 0.25; // a match is at least this part of its row's height

/** Kinds of marks, and the custom properties of their colors; later ones are drawn over earlier ones. */
const KINDS = { frame: '--line-strong', near: '--line-strong', dismiss: '--line-strong', plain: '--match', keep: '--good', fired: '--match' };
const KIND_NAMES = Object.keys(KINDS);

/** The colors of the page's style, which differ by scheme. */
export function readColors(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(name).trim() || style.color;
  return {
    text: read('--text'), muted: read('--muted'), line: read('--line'), accent: read('--accent'),
    surface: read('--surface'), sunken: read('--sunken'), watched: read('--watched'), gap: read('--gap'),
    kinds: KIND_NAMES.map((name) => read(KINDS[name])), font: style.fontFamily,
  };
}

/** One camera's moments in order of time, as arrays that are fast to draw from. */
export class Marks {
  constructor(moments) {
    const sorted = [...moments].sort((a, b) => a.from - b.from);
    this.moments = sorted;
    this.starts = Float64Array.from(sorted, (m) => m.from);
    this.ends = Float64Array.from(sorted, (m) => m.to);
    this.scores = Float32Array.from(sorted, (m) => m.score);
    this.kinds = Uint8Array.from(sorted, (m) => Math.max(0, KIND_NAMES.indexOf(m.kind)));
    this.longest = sorted.reduce((most, m) => Math.max(most, m.to - m.from), 0);
  }

  /** Index of the first mark that may end at or after `ms`. */
  firstAt(ms) {
    let low = 0, high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] < ms - this.longest) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The best mark within `reach` milliseconds of `ms`, the nearest of equals; null if there is none. */
  at(ms, reach) {
    let best = null;
    for (let i = this.firstAt(ms - reach); i < this.starts.length && this.starts[i] <= ms + reach; i++) {
      if (this.ends[i] >= ms - reach && (best === null || this.scores[i] > this.scores[best])) best = i;
    }
    return best === null ? null : this.moments[best];
  }
}

/** Draw everything; `view` is the timeline's state. */
export function draw(context, view) {
  const { width, height, scale, colors } = view;
  context.clearRect(0, 0, width, height);
  context.save();
  context.beginPath();
  context.rect(0, AXIS + view.strip, width, height - AXIS - view.strip);
  context.clip();
  view.rows.forEach((row, i) => {
    const top = AXIS + view.strip + i * ROW - view.scroll;
    if (top > -ROW && top < height) drawRow(context, view, row, top, i);
  });
  context.restore();
  drawAxis(context, view);
  if (view.strip) drawPictures(context, view);
  drawRange(context, view);
  drawCursor(context, view);
  context.fillStyle = colors.line;
  context.fillRect(scale.left - 1, AXIS, 1, height - AXIS);
  drawScroll(context, view);
}

/** Where the shown rows are among all of them. */
function drawScroll(context, { rows, scroll, strip, width, height, colors }) {
  const room = height - AXIS - strip, all = rows.length * ROW;
  if (all <= room) return;
  context.fillStyle = colors.muted;
  context.globalAlpha = 0.6;
  context.fillRect(width - 4, AXIS + strip + scroll / all * room, 3, room / all * room);
  context.globalAlpha = 1;
}

function drawAxis(context, { width, scale, colors, language }) {
  const { ticks, bands } = axis(scale, language);
  context.font = `12px ${colors.font}`;
  context.textBaseline = 'middle';
  context.fillStyle = colors.line;
  context.fillRect(0, AXIS - 1, width, 1);
  context.save();
  context.beginPath();
  context.rect(scale.left, 0, width - scale.left, AXIS);
  context.clip();
  context.fillStyle = colors.text;
  bands.forEach(({ ms, text }, i) => { // the label of a day stays in view as long as the day does
    const x = Math.max(scale.x(ms), scale.left) + 5;
    const next = i + 1 < bands.length ? scale.x(bands[i + 1].ms) : width;
    if (x + context.measureText(text).width + 4 <= next) context.fillText(text, x, 11);
    if (scale.x(ms) > scale.left) context.fillRect(scale.x(ms), 3, 1, 16);
  });
  for (const { ms, text } of ticks) {
    const x = scale.x(ms);
    context.fillStyle = colors.line;
    context.fillRect(x, AXIS - 6, 1, 6);
    context.fillStyle = colors.muted;
    const wide = context.measureText(text).width, left = x - wide / 2;
    if (left >= scale.left + 2 && left + wide <= width) context.fillText(text, left, 26);
  }
  context.restore();
}

function drawRow(context, view, row, top, index) {
  const { width, scale, colors } = view;
  if (index === view.row) {
    context.fillStyle = colors.sunken;
    context.fillRect(0, top, width, ROW);
  }
  context.fillStyle = colors.line;
  context.fillRect(0, top + ROW - 1, width, 1);
  context.font = `12.5px ${colors.font}`;
  context.textBaseline = 'middle';
  context.fillStyle = row.color ?? colors.text;
  context.fillText(shorten(context, row.camera, scale.left - 20), 10, top + ROW / 2);
  context.save();
  context.beginPath();
  context.rect(scale.left, top, width - scale.left, ROW);
  context.clip();
  drawCoverage(context, view, row, top);
  drawMarks(context, view, row, top);
  context.restore();
}

function drawCoverage(context, { scale, colors }, row, top) {
  for (const span of row.coverage) {
    if (span.to < scale.start || span.from > scale.end) continue;
    const x = scale.x(span.from), wide = Math.max(1, scale.x(span.to) - x);
    if (span.state === 'watched') { // faint, so that the matches before it stand out
      context.fillStyle = colors.watched;
      context.globalAlpha = 0.42;
      context.fillRect(x, top + 2, wide, ROW - 5);
      context.globalAlpha = 1;
    } else if (span.cause) { // a gap with a cause: something went wrong, or was meant
      context.fillStyle = colors.gap;
      context.fillRect(x, top + ROW - 5, Math.max(2, wide), 2);
    }
  }
}

/** Marks, the highest of each column of pixels, so that thousands cost no more than the columns. */
function drawMarks(context, { scale, colors, width, columns, columnKinds }, { marks }, top) {
  const left = Math.floor(scale.left), perMs = (scale.right - scale.left) / scale.span;
  columns.fill(0);
  for (let i = marks.firstAt(scale.start); i < marks.starts.length && marks.starts[i] <= scale.end; i++) {
    const from = Math.max(0, Math.floor(scale.left + (marks.starts[i] - scale.start) * perMs));
    const to = Math.min(width, Math.max(from + 3, Math.ceil(scale.left + (marks.ends[i] - scale.start) * perMs)));
    const value = marks.scores[i] + marks.kinds[i] * 2; // the later kinds win
    for (let x = Math.max(from, left); x < to; x++) if (value > columns[x]) { columns[x] = value; columnKinds[x] = i; }
  }
  const paths = colors.kinds.map(() => new Path2D());
  for (let x = left; x < width; x++) {
    if (!columns[x]) continue;
    const i = columnKinds[x];
    let end = x + 1;
    while (end < width && columns[end] && columnKinds[end] === i) end++;
    const tall = (LOWEST + (1 - LOWEST) * marks.scores[i]) * (ROW - 6);
    paths[marks.kinds[i]].rect(x, top + ROW - 3 - tall, end - x, tall);
    x = end - 1;
  }
  paths.forEach((path, kind) => {
    context.fillStyle = colors.kinds[kind];
    context.fill(path);
  });
}

/** Pictures above the rows, the best of each place; they are drawn once they have arrived. */
function drawPictures(context, { scale, colors, pictures, width, strip }) {
  let last = -Infinity;
  for (const { ms, image, wide, tall } of pictures(scale)) {
    const x = Math.min(Math.max(scale.x(ms) - wide / 2, scale.left + 2), width - wide - 2);
    if (x < last + 4) continue;
    if (image) context.drawImage(image, x, AXIS + 5, wide, tall);
    else {
      context.fillStyle = colors.sunken;
      context.fillRect(x, AXIS + 5, wide, tall);
    }
    context.fillStyle = colors.line;
    context.fillRect(scale.x(ms), AXIS + 5 + tall, 1, strip - tall - 5);
    last = x + wide;
  }
}

/** The asked time, with the rest dimmed, or the part that is being drawn. */
function drawRange(context, { scale, colors, height, width, from, to, drag }) {
  const [start, end] = drag ?? [from, to];
  if (start == null && end == null) return;
  const a = Math.max(scale.left, start == null ? scale.left : scale.x(start));
  const b = Math.max(scale.left, Math.min(width, end == null ? width : scale.x(end)));
  context.globalAlpha = 0.55;
  context.fillStyle = colors.surface;
  context.fillRect(scale.left, AXIS, Math.max(0, a - scale.left), height - AXIS);
  context.fillRect(b, AXIS, width - b, height - AXIS);
  context.globalAlpha = 1;
  context.fillStyle = colors.accent;
  if (start != null && a > scale.left) context.fillRect(a - 1, AXIS - 6, 2, height);
  if (end != null && b < width) context.fillRect(b - 1, AXIS - 6, 2, height);
  if (b > a) context.fillRect(a, AXIS - 2, b - a, 2);
}

function drawCursor(context, { scale, colors, height, cursor }) {
  if (cursor == null || cursor < scale.start || cursor > scale.end) return;
  const x = scale.x(cursor);
  context.fillStyle = colors.text;
  context.fillRect(x - 1, AXIS - 10, 2, height);
  context.beginPath();
  context.moveTo(x - 5, AXIS - 12);
  context.lineTo(x + 5, AXIS - 12);
  context.lineTo(x, AXIS - 4);
  context.fill();
}

/** The text, with its middle left out where it is wider than `room`. */
function shorten(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let keep = text.length - 1;
  while (keep > 2 && context.measureText(cut(text, keep)).width > room) keep--;
  return cut(text, keep);
}

function cut(text, keep) {
  return `${text.slice(0, Math.ceil(keep / 2))}…${text.slice(text.length - Math.floor(keep / 2))}`;
}
