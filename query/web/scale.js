// Maps times to pixels for the timeline: zoom about a point, pan, and the ticks of the axis in the viewer's zone.

const SHORTEST = 10_000; // milliseconds that the narrowest window shows
const LONGEST = 30 * 86_400_000;

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [
  SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY,
];
const MIN_TICK = 76; // pixels from one label to the next

/** The window of time that [left, right) pixels show. */
export class Scale {
  constructor(start, end, left = 0, right = 1) {
    Object.assign(this, { start, end, left, right });
  }

  get span() { return this.end - this.start; }

  x(ms) { return this.left + (ms - this.start) / this.span * (this.right - this.left); }

  ms(x) { return this.start + (x - this.left) / (this.right - this.left) * this.span; }

  /** Show `factor` times as much time; the time at pixel `x` stays where it is. */
  zoom(factor, x) {
    const span = Math.min(LONGEST, Math.max(SHORTEST, this.span * factor));
    const at = this.ms(x);
    this.start = at - (at - this.start) * (span / this.span);
    this.end = this.start + span;
  }

  pan(pixels) {
    const by = pixels / (this.right - this.left) * this.span;
    this.start += by;
    this.end += by;
  }

  /** Show [start, end] with a margin, within the limits of the zoom. */
  fit(start, end, margin = 0.04) {
    const span = Math.min(LONGEST, Math.max(SHORTEST, (end - start) * (1 + 2 * margin)));
    this.end = end - start > span ? end + span * margin : (start + end + span) / 2; // of more than fits, the newest
    this.start = this.end - span;
  }
}

/** The ticks of the axis: times in order, each with its label, and the labels of the days (or months) above them. */
export function axis(scale, language) {
  const room = (scale.right - scale.left) / scale.span;
  const step = STEPS.find((one) => one * room >= MIN_TICK) ?? STEPS.at(-1);
  const label = step >= DAY ? { day: 'numeric', weekday: step === DAY ? 'short' : undefined }
    : { hour: '2-digit', minute: '2-digit', second: step < MINUTE ? '2-digit' : undefined, hourCycle: 'h23' };
  const format = formatter(language, label);
  const above = step >= DAY ? { month: 'long', year: 'numeric' } : { weekday: 'short', day: 'numeric', month: 'short' };
  return {
    step,
    ticks: tickTimes(scale.start, scale.end, step).map((ms) => ({ ms, text: format.format(ms) })),
    bands: bandTimes(scale.start, scale.end, step >= DAY).map((ms) => ({
      ms, text: formatter(language, above).format(ms),
    })),
  };
}

const formatters = new Map();

function formatter(language, options) {
  const key = `${language}${JSON.stringify(options)}`;
  if (!formatters.has(key)) formatters.set(key, new Intl.DateTimeFormat(language, options));
  return formatters.get(key);
}

/** Multiples of `step` in local time, where hours and days are those of the clock on the wall (daylight saving). */
function tickTimes(start, end, step) {
  const found = [];
  if (step < HOUR) {
    const shift = new Date(start).getTimezoneOffset() * MINUTE;
    for (let ms = Math.ceil((start - shift) / step) * step + shift; ms < end; ms += step) found.push(ms);
    return found;
  }
  const first = new Date(start);
  const [hours, days] = step < DAY ? [step / HOUR, 0] : [0, step / DAY];
  const day = days > 1 ? 1 + Math.floor((first.getDate() - 1) / days) * days : first.getDate();
  for (let i = 0, ms = 0; ms < end && i < 2000; i++) {
    ms = new Date(first.getFullYear(), first.getMonth(), day + i * days, i * hours).getTime();
    if (ms >= start && ms < end && found.at(-1) !== ms) found.push(ms);
  }
  return found;
}

/** The starts of the days (or months) that are in view, the one that holds the start first. */
function bandTimes(start, end, months) {
  const found = [], first = new Date(start);
  for (let i = 0, ms = 0; i < 400; i++) {
    ms = months ? new Date(first.getFullYear(), first.getMonth() + i, 1).getTime()
      : new Date(first.getFullYear(), first.getMonth(), first.getDate() + i).getTime();
    if (ms >= end) return found;
    found.push(ms);
  }
  return found;
}
