// Formats times in the viewer's time zone, spans and shares, in the language of the texts.

import { language } from './strings.js';

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const make = (options) => new Intl.DateTimeFormat(language, { hourCycle: 'h23', ...options });
const day = { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' };
const clock = { hour: '2-digit', minute: '2-digit' };
const formats = {
  day: make(day),
  minute: make(clock),
  second: make({ ...clock, second: '2-digit' }),
  millisecond: make({ ...clock, second: '2-digit', fractionalSecondDigits: 3 }),
  short: make({ weekday: 'short', day: 'numeric', month: 'short' }),
};

const at = (time) => new Date(time);

/** 'Mon, 4 May 2026'. */
export const dayOf = (time) => formats.day.format(at(time));
/** '14:30'. */
const minuteOf = (time) => formats.minute.format(at(time));
/** '14:30:05'. */
export const clockOf = (time) => formats.second.format(at(time));
/** '14:30:05.250'. */
export const preciseOf = (time) => formats.millisecond.format(at(time));
/** 'Mon, 4 May 2026 14:30:05', in the viewer's zone. */
export const fullOf = (time) => `${dayOf(time)} ${clockOf(time)}`;
/** '2026-05-04 12:30:05.250 UTC', to show on hover. */
export const utcOf = (time) => at(time).toISOString().replace('T', ' ').replace('Z', ' UTC');

const sameDay = (a, b) => dayOf(a) === dayOf(b);

/** 'Mon, 4 May 2026 14:00 – 15:00'; an end that is missing stays open, and a year is said once. */
export function spanOf(from, to) {
  const first = to && at(from).getFullYear() === at(to).getFullYear() ? formats.short.format(at(from)) : from && dayOf(from);
  const short = (time) => (at(time).getSeconds() ? clockOf(time) : minuteOf(time));
  const isMidnight = (time) => short(time) === '00:00';
  if (from && to) {
    const last = at(at(to).getTime() - 1);
    if (isMidnight(from) && isMidnight(to)) return sameDay(from, last) ? dayOf(from) : `${first} – ${dayOf(last)}`;
    return sameDay(from, last) ? `${dayOf(from)} ${short(from)} – ${short(to)}` :
      `${first} ${short(from)} – ${dayOf(to)} ${short(to)}`;
  }
  if (from) return `${dayOf(from)} ${short(from)} –`;
  return `– ${dayOf(to)} ${short(to)}`;
}

/** '20:00 – 06:00' of '20-6', as the service writes hours. */
export const hoursLabel = (hours) => hours.split('-').map((hour) => `${hour.padStart(2, '0')}:00`).join(' – ');

const weekday = make({ weekday: 'short', timeZone: 'UTC' });
const MONDAY = Date.UTC(2024, 0, 1), DAY = 86_400_000;
export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** 'Mon – Fri', 'Sat, Sun' of 'mon-fri', 'sat,sun'; what is no day stays as it is. */
export const daysLabel = (days) => days.replace(/[a-z]+/gu, (name) => {
  const at = WEEKDAYS.indexOf(name);
  return at < 0 ? name : weekday.format(MONDAY + at * DAY);
}).replaceAll('-', ' – ').replaceAll(',', ', ');

/** '0:05', '12:30', '1:02:03'. */
export function lengthOf(seconds) {
  const all = Math.round(seconds);
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (n) => String(n).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const NARROW = '\u202f'; // keeps a number and its unit together

/** '2 d 3 h', '1 h 20 min', '45 s'. */
export function durationOf(seconds) {
  const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return seconds > 0 ? `<${NARROW}1${NARROW}s` : `0${NARROW}s`;
  const [name, size] = units[first];
  const whole = Math.floor(seconds / size);
  const next = units[first + 1];
  const rest = next ? Math.round((seconds - whole * size) / next[1]) : 0;
  return rest && whole < 10 && next[1] * rest < size ? `${whole}${NARROW}${name} ${rest}${NARROW}${next[0]}` : `${whole}${NARROW}${name}`;
}

export const percentOf = (share) => `${share > 0 && share < 0.005 ? '<1' : Math.round(share * 100)}${NARROW}%`;

/** A message of the service as a sentence of its own; what begins with a name or an address stays as it is. */
export const sentence = (message) => message && message.replace(/^[a-z]+(?= )/u, (word) => word[0].toUpperCase() + word.slice(1)).replace(/(?<![.?!])$/u, '.');
