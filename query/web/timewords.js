// Understands the times that people type: "yesterday 8pm", "last 2 hours", "14:30", "4 May to 6 May".

import { addDays, instantsOf, isDay, wallOf, weekdayOf } from './zoned.js';

const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
const MONTHS = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october',
  'november', 'december'];
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const UNITS = new Map([
  ['s sec secs second seconds', SECOND], ['m min mins minute minutes', MINUTE], ['h hr hrs hour hours', HOUR],
  ['d day days', DAY], ['w week weeks', 7 * DAY], ['month months', 30 * DAY],
].flatMap(([names, size]) => names.split(' ').map((name) => [name, size])));
const NUMBERS = new Map('a an one two three four five six seven eight nine ten eleven twelve'.split(' ')
  .map((word, i) => [word, Math.max(1, i - 1)]));
/** Hours in which a part of the day begins and ends; above 24 it ends on the next day. */
export const PARTS = { morning: [6, 12], afternoon: [12, 18], evening: [18, 22], night: [20, 30] };
const DASHES = new Set(['-', '–', '—', 'to', 'until', 'till']);
const TOKEN = new RegExp([
  '"[^"]*"?',
  '\\d{4}-\\d{1,2}-\\d{1,2}t\\d{1,2}:\\d{2}(?::\\d{2}(?:\\.\\d+)?)?(?:z|[+-]\\d{2}:?\\d{2})?',
  '\\d{4}-\\d{1,2}-\\d{1,2}', '\\d{1,2}\\.\\d{1,2}\\.\\d{4}', '\\d{1,2}:\\d{2}(?::\\d{2})?', '\\d+(?:\\.\\d+)?',
  "[\\p{L}\\p{M}][\\p{L}\\p{M}\\p{N}_'-]*", '\\S',
].join('|'), 'giu');

/**
 * Finds the first time in a text; null where there is none.
 *
 * @param {string} text what is in quotes is not looked at.
 * @param {{now: number, zone: string}} here the present instant in milliseconds, and the viewer's IANA time zone.
 * @returns {{from: ?number, to: ?number, at: ?number, phrases: [number, number][]}|null} a half-open span in
 *   milliseconds, open where null; `at`: the one instant that was meant, if one was; where in the text it stands.
 */
export function findTime(text, here) {
  const tokens = [...text.matchAll(TOKEN)].map((match) => ({
    word: match[0].toLowerCase(), start: match.index, end: match.index + match[0].length,
  }));
  const reader = new Reader(tokens, here);
  const found = [];
  for (let i = 0; i < tokens.length && found.length < 2;) {
    const one = reader.expression(i);
    if (one) found.push({ ...one, begin: i });
    i = one ? one.next : i + 1;
  }
  if (!found.length) return null;
  const [first, second] = found;
  const phrase = ({ begin, next }) => [tokens[begin].start, tokens[next - 1].end];
  if (second && first.plain && second.plain && complement(first.plain, second.plain)) {
    const span = reader.resolve({ ...first.plain, ...second.plain });
    return { ...span, phrases: [phrase(first), phrase(second)] };
  }
  return { ...first.span, phrases: [phrase(first)] };
}

const complement = (a, b) => (a.day && !a.clock && !a.part && !b.day) || (b.day && !b.clock && !b.part && !a.day);

class Reader {
  constructor(tokens, { now, zone }) {
    this.tokens = tokens;
    this.now = now;
    this.zone = zone;
    this.today = wallOf(now, zone);
  }

  word(i) {
    return this.tokens[i]?.word ?? '';
  }

  number(i) {
    const word = this.word(i);
    return /^\d+(\.\d+)?$/.test(word) ? Number(word) : NUMBERS.get(word);
  }

  /** The longest expression that begins at token i: {span, next, plain}. */
  expression(i) {
    const tries = [this.past(i), this.ago(i), this.named(i), this.bound(i), this.range(i), this.point(i)];
    return tries.filter(Boolean).reduce((best, one) => (best && best.next >= one.next ? best : one), null);
  }

  /** last 2 hours, in the past week. */
  past(i) {
    if (['in', 'over', 'during', 'within'].includes(this.word(i))) i += 1;
    if (this.word(i) === 'the') i += 1;
    if (!['last', 'past'].includes(this.word(i))) return null;
    i += 1;
    let count = this.number(i);
    if (this.word(i) === 'half') [count, i] = [0.5, ['an', 'a'].includes(this.word(i + 1)) ? i + 1 : i];
    const size = UNITS.get(this.word(count === undefined ? i : i + 1));
    if (!size || (count === undefined && size < MINUTE)) return null;
    if (count === undefined && size > DAY && this.word(i - 1) === 'last') return null; // last week is the one before
    const next = count === undefined ? i + 1 : i + 2;
    return { span: { from: this.now - (count ?? 1) * size, to: null, at: null }, next };
  }

  /** 20 minutes ago; days ago are days. */
  ago(i) {
    let [count, at] = [this.number(i), i + 1];
    if (this.word(i) === 'half' && ['an', 'a'].includes(this.word(i + 1))) [count, at] = [0.5, i + 2];
    const size = UNITS.get(this.word(at));
    if (count === undefined || !size || size >= DAY || this.word(at + 1) !== 'ago') return null;
    const middle = this.now - count * size;
    const around = size === HOUR ? 30 * MINUTE : size === MINUTE ? 5 * MINUTE : 30 * SECOND;
    const to = Math.min(middle + around, this.now);
    return { span: { from: middle - around, to, at: middle }, next: at + 2 };
  }

  /** last night, tonight, this week, last month, this weekend. */
  named(i) {
    if (['in', 'on', 'during', 'over'].includes(this.word(i))) i += 1;
    if (this.word(i) === 'the' && this.word(i + 1) === 'last') i += 1;
    if (this.word(i) === 'tonight') return this.days(this.night(0), i + 1);
    const which = ['this', 'last'].indexOf(this.word(i));
    if (which < 0) return null;
    const unit = this.word(i + 1);
    const monday = addDays(this.today, -((weekdayOf(this.today) + 6) % 7));
    if (unit === 'night') return which ? this.days(this.night(1), i + 2) : this.days(this.night(0), i + 2);
    if (unit === 'week') return this.days([addDays(monday, -7 * which), addDays(monday, 7 - 7 * which)], i + 2);
    if (unit === 'weekend') {
      const saturday = weekdayOf(this.today) % 6 === 0 ? addDays(monday, 5) : addDays(monday, -2);
      const back = which && weekdayOf(this.today) % 6 === 0 ? -7 : 0;
      return this.days([addDays(saturday, back), addDays(saturday, back + 2)], i + 2);
    }
    if (unit === 'month') {
      const first = { ...this.today, d: 1 };
      const shift = (months) => addDays({ y: first.y, mo: first.mo + months, d: 1 }, 0);
      return this.days([shift(-which), shift(1 - which)], i + 2);
    }
    return null;
  }

  /** The night that is meant by tonight (0) or last night (1): after midnight, tonight is the one that began yesterday. */
  night(back) {
    const early = back === 0 && this.today.h < 6 ? 1 : 0;
    const day = addDays(this.today, -back - early);
    return [{ ...day, h: 20 }, { ...addDays(day, 1), h: 6 }];
  }

  days([from, to], next) {
    const [start] = instantsOf(wall(from), this.zone);
    const [end] = instantsOf(wall(to), this.zone);
    return { span: { from: start, to: end, at: null }, next };
  }

  /** since yesterday, after 8pm, before 4 May, until 9:00. */
  bound(i) {
    const word = this.word(i);
    if (!['since', 'after', 'before', 'until', 'till'].includes(word)) return null;
    const found = this.parts(i + 1, false);
    if (!found) return null;
    const { from, to, at } = this.resolve(found);
    const start = found.clock ? at ?? from : from;
    if (word === 'since') return { span: { from: start, to: null, at: null }, next: found.next };
    if (word === 'after') return { span: { from: found.clock ? start : to, to: null, at: null }, next: found.next };
    const end = word === 'before' || found.clock ? start : to;
    const begin = found.clock && !found.day ? instantsOf(midnight(wallOf(start, this.zone)), this.zone)[0] : null;
    return { span: { from: begin, to: end, at: null }, next: found.next };
  }

  /** 8-10pm, from 4 May to 6 May, yesterday between 14:30 and 15:00, yesterday after 8pm. */
  range(i) {
    const outer = this.parts(i, false);
    if (outer?.day && !outer.clock && !outer.part) {
      if (['after', 'before'].includes(this.word(outer.next))) {
        const inner = this.parts(outer.next + 1, true);
        if (inner?.clock && !inner.day) {
          const day = this.resolve({ day: outer.day });
          const { from, at } = this.resolve({ day: outer.day, clock: inner.clock });
          const cut = at ?? from;
          const span = this.word(outer.next) === 'after' ? { from: cut, to: day.to } : { from: day.from, to: cut };
          return { span: { ...span, at: null }, next: inner.next };
        }
      }
      const start = this.word(outer.next) === ',' ? outer.next + 1 : outer.next;
      const inner = this.pair(start, outer.day);
      if (inner) return inner;
    }
    return this.pair(i, null);
  }

  pair(i, day) {
    const opening = ['from', 'between'].includes(this.word(i)) ? this.word(i) : '';
    const a = this.parts(opening ? i + 1 : i, true);
    if (!a) return null;
    const joins = opening === 'between' ? this.word(a.next) === 'and' : DASHES.has(this.word(a.next));
    const b = joins && this.parts(a.next + 1, true);
    if (!b) return null;
    const sure = day || a.day || b.day || [a, b].some((one) => one.clock && !one.clock.bare);
    if (!sure || !!a.clock !== !!b.clock || a.part || b.part) return null;
    let next = b.next;
    if (!day && !a.day && !b.day) { // 8pm to 10pm yesterday
      const after = this.parts(['on'].includes(this.word(next)) ? next + 1 : next, false);
      if (after?.day && !after.clock && !after.part) [day, next] = [after.day, after.next];
    }
    return { span: this.between({ ...a, day: a.day ?? day }, { ...b, day: b.day ?? a.day ?? day }), next };
  }

  between(a, b) {
    if (!a.clock) return { from: this.resolve({ day: a.day }).from, to: this.resolve({ day: b.day }).to, at: null };
    const first = { ...a.clock };
    if (first.bare && b.clock.half === 'pm' && first.h < 12 && first.h <= b.clock.h % 12) first.h += 12;
    const start = this.moment(a.day, first)[0];
    const day = a.day && b.day !== a.day ? b.day : wallOf(start, this.zone);
    let end = instantsOf({ ...wall(day), ...b.clock }, this.zone)[1];
    if (end <= start) end = instantsOf({ ...addDays(wall(day), 1), ...time(b.clock) }, this.zone)[1];
    return { from: start, to: end, at: null };
  }

  point(i) {
    const found = this.parts(i, false);
    if (!found) return null;
    return { span: this.resolve(found), next: found.next, plain: found };
  }

  /** A day, a clock or both, in any order: {day, clock, part, next}. `bare`: a number alone may be an hour. */
  parts(i, bare) {
    const begin = ['on', 'at'].includes(this.word(i)) ? i + 1 : i;
    const day = this.day(begin);
    if (day?.clock) return day;
    if (day) {
      let next = day.next;
      while (['at', ',', 'in', 'the'].includes(this.word(next))) next += 1;
      const part = PARTS[this.word(next)] && { part: this.word(next), next: next + 1 };
      const clock = this.clock(next, bare || this.word(next - 1) === 'at');
      return { day: day.day, ...(part || clock || { next: day.next }) };
    }
    if (this.word(begin) === 'this' && PARTS[this.word(begin + 1)]) {
      return { day: this.today, part: this.word(begin + 1), next: begin + 2 };
    }
    const clock = this.clock(begin, bare);
    if (!clock) return null;
    const after = this.day(this.word(clock.next) === 'on' ? clock.next + 1 : clock.next);
    return after ? { ...clock, ...after } : clock;
  }

  day(i) {
    const word = this.word(i);
    const back = (days, next) => ({ day: addDays(this.today, -days), next });
    if (word === 'today') return back(0, i + 1);
    if (word === 'yesterday') return back(1, i + 1);
    const skip = word === 'the' ? 1 : 0;
    if (['day', 'before', 'yesterday'].every((one, k) => this.word(i + skip + k) === one)) return back(2, i + skip + 3);
    const count = this.number(i);
    if (count !== undefined && UNITS.get(this.word(i + 1)) >= DAY && this.word(i + 2) === 'ago') {
      return back(Math.round(count * UNITS.get(this.word(i + 1)) / DAY), i + 3);
    }
    const last = word === 'last' ? 1 : 0;
    const weekday = WEEKDAYS.indexOf(this.word(i + last));
    if (weekday >= 0) {
      const days = (weekdayOf(this.today) - weekday + 7) % 7;
      return back(days || 7 * last, i + last + 1);
    }
    return this.date(i);
  }

  date(i) {
    const word = this.word(i);
    const iso = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:t(.+))?$/.exec(word);
    if (iso) return this.dated({ y: +iso[1], mo: +iso[2], d: +iso[3] }, i + 1, iso[4]);
    const dotted = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(word);
    if (dotted) return this.dated({ y: +dotted[3], mo: +dotted[2], d: +dotted[1] }, i + 1);
    const dayFirst = /^\d{1,2}$/.test(word);
    const suffix = dayFirst && ['st', 'nd', 'rd', 'th'].includes(this.word(i + 1)) ? 1 : 0;
    const of = dayFirst && this.word(i + 1 + suffix) === 'of' ? 1 : 0;
    const month = monthOf(this.word(dayFirst ? i + 1 + suffix + of : i));
    const number = dayFirst ? word : this.word(i + 1);
    if (!month || !/^\d{1,2}$/.test(number)) return null;
    let next = dayFirst ? i + 2 + suffix + of : i + 2;
    if (!dayFirst && ['st', 'nd', 'rd', 'th'].includes(this.word(next))) next += 1;
    const comma = this.word(next) === ',' ? 1 : 0;
    if (/^(19|20)\d\d$/.test(this.word(next + comma))) {
      return this.dated({ y: +this.word(next + comma), mo: month, d: +number }, next + comma + 1);
    }
    const day = { y: this.today.y, mo: month, d: +number };
    const ahead = day.mo > this.today.mo || (day.mo === this.today.mo && day.d > this.today.d);
    return this.dated(ahead ? { ...day, y: day.y - 1 } : day, next);
  }

  dated(day, next, iso) {
    if (!isDay(day)) return null;
    if (!iso) return { day, next };
    const zoned = /z$|[+-]\d{2}:?\d{2}$/.test(iso);
    const [h, mi, s] = iso.match(/^(\d+):(\d+)(?::(\d+))?/).slice(1).map((one) => Number(one ?? 0));
    if (h > 23 || mi > 59 || s > 59) return null;
    const precision = /^\d+:\d+:/.test(iso) ? SECOND : MINUTE;
    if (!zoned) return { day, clock: { h, mi, s, precision }, next };
    const ms = Date.parse(this.word(next - 1).toUpperCase());
    const local = wallOf(ms, this.zone);
    return { day: local, clock: { ...time(local), precision, instant: ms }, next };
  }

  clock(i, bare) {
    const word = this.word(i);
    if (word === 'noon') return this.hour(12, 0, 0, HOUR, i + 1);
    if (word === 'midnight') return this.hour(0, 0, 0, HOUR, i + 1);
    const colons = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(word);
    const alone = /^\d{1,2}$/.test(word);
    if (!colons && !alone) return null;
    let [h, next] = [+(colons ? colons[1] : word), i + 1];
    let half = this.word(next).replaceAll('.', '');
    if (['a', 'p'].includes(half) && this.word(next + 1) === '.' && this.word(next + 2) === 'm') {
      [half, next] = [half + 'm', next + 2 + (this.word(next + 3) === '.' ? 1 : 0)];
    }
    const isHalf = half === 'am' || half === 'pm';
    if (isHalf) {
      if (h < 1 || h > 12) return null;
      h = (h % 12) + (half === 'pm' ? 12 : 0);
      next += 1;
    } else if (!colons && !bare) return null;
    const [mi, s] = [+(colons?.[2] ?? 0), +(colons?.[3] ?? 0)];
    if (h > 23 || mi > 59 || s > 59) return null;
    const precision = colons?.[3] ? SECOND : colons ? MINUTE : HOUR;
    const found = this.hour(h, mi, s, precision, next);
    found.clock.bare = !colons && !isHalf;
    found.clock.half = isHalf ? half : '';
    return found;
  }

  hour(h, mi, s, precision, next) {
    return { clock: { h, mi, s, precision }, next };
  }

  /** [first, last] instant of a clock's time; without a day the latest one that has been. */
  moment(day, clock) {
    if (clock.instant !== undefined) return [clock.instant, clock.instant];
    const found = instantsOf({ ...wall(day ?? this.today), ...time(clock) }, this.zone);
    if (day || found[0] <= this.now) return found;
    return instantsOf({ ...addDays(this.today, -1), ...time(clock) }, this.zone);
  }

  /** The span of a day, a part of it, or a clock: an hour is all of it, a minute five before and after. */
  resolve({ day, clock, part }) {
    if (part) {
      const [first, last] = PARTS[part];
      const end = last > 24 ? { ...addDays(day, 1), h: last - 24 } : { ...wall(day), h: last };
      return this.days([{ ...wall(day), h: first }, end], 0).span;
    }
    if (!clock) return this.days([wall(day), addDays(day, 1)], 0).span;
    const [first, last] = this.moment(day, clock);
    if (clock.precision === HOUR) return { from: first, to: last + HOUR, at: first };
    const around = clock.precision === MINUTE ? 5 * MINUTE : 30 * SECOND;
    return { from: first - around, to: last + around, at: first };
  }
}

const wall = ({ y, mo, d, h = 0 }) => ({ y, mo, d, h, mi: 0, s: 0 });
const midnight = ({ y, mo, d }) => ({ y, mo, d, h: 0, mi: 0, s: 0 });
const time = ({ h, mi, s }) => ({ h, mi, s });

function monthOf(word) {
  const name = word.replace(/\.$/, '');
  const found = MONTHS.findIndex((month) => month === name || (name.length >= 3 && month.slice(0, 3) === name) ||
    (name === 'sept' && month === 'september'));
  return found < 0 ? 0 : found + 1;
}
