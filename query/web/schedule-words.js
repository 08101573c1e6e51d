// Understands which hours and days people mean that come again: "at night", "on weekdays", "every Monday", "weekend mornings".

import { PARTS } from './timewords.js';

const HOURS_OF = { ...PARTS, day: [6, 20] };
const NAMES = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']; // as the service writes them
const DAY = '(?:weekday|workday|weekend|monday|tuesday|wednesday|thursday|friday|saturday|sunday)';
const LIST = (one) => `${one}(?:(?:\\s*,\\s*|\\s+(?:and|or)\\s+)${one})*`;
const PART = '(?:morning|afternoon|evening|night)';
const BEGIN = '(?<=^|[\\s,])', END = '(?=$|[\\s,])';
/** Many days, or one that is said to come again: "mondays and fridays", "every monday", "at the weekend", "weekend nights". */
const DAYS = new RegExp([
  `${BEGIN}(?:(?:on|at|every|each)\\s+(?:the\\s+)?)?(${LIST(`${DAY}s`)})${END}`,
  `${BEGIN}(?:every|each)\\s+(${LIST(`${DAY}`)})${END}`,
  `${BEGIN}(?:on|at)\\s+(?:the\\s+|a\\s+)?(weekend|weekday|workday)${END}`,
  `${BEGIN}(?:on\\s+|every\\s+)?(${DAY})(?=\\s+${PART}s${END})`,
].join('|'), 'iu');
/** A part of each day, but not of what is seen: "evening light". */
const HOURS = new RegExp([
  `${BEGIN}(?:at|by|in|on|during|every|each)\\s+(?:the\\s+)?(${PART})s?${END}(?!\\s+(?:light|sun|sky|dress|gown|fog|mist|rush|coat|shift|market))`,
  `${BEGIN}(${PART})s${END}`,
  `${BEGIN}(?:by|during|in)\\s+(?:the\\s+)?(day)(?:time)?${END}`,
].join('|'), 'iu');

const valueOf = (word) => {
  if (word.startsWith('week') && !word.startsWith('weekend')) return 'mon-fri';
  return { workday: 'mon-fri', weekend: 'sat,sun' }[word] ?? word.slice(0, 3);
};

/** The days that a text names, {start, end, value: 'mon-fri' or 'sat,sun'}; null where it names none that come again. */
export function findDays(text) {
  const match = DAYS.exec(text);
  if (!match) return null;
  const words = match.slice(1).find(Boolean).toLowerCase().match(new RegExp(DAY, 'gu'));
  const values = [...new Set(words.map(valueOf))];
  const order = (value) => NAMES.indexOf(value.slice(0, 3));
  return { start: match.index, end: match.index + match[0].length, value: values.sort((a, b) => order(a) - order(b)).join(',') };
}

/** The hours that a text names, {start, end, value: '20-6'}; null where it names none. */
export function findHours(text) {
  const match = HOURS.exec(text);
  if (!match) return null;
  const [first, last] = HOURS_OF[match.slice(1).find(Boolean).toLowerCase()];
  return { start: match.index, end: match.index + match[0].length, value: `${first}-${last % 24}` };
}
