// Understands what is typed into the box: its words, and what becomes chips (times, cameras, what must be absent).

import { findDays, findHours } from './schedule-words.js';
import { findTime } from './timewords.js';

// As the service splits a query (query/scoring/expression.py), so that the page shows what is really asked.
const NEGATION = /,?\s+(?:but\s+|and\s+)?(?:without|with\s+no|but\s+no|and\s+no|but\s+not|not\s+with)\s+/giu;
const MINUS = /(?<=^|\s)[-−](?:\u0001+|[\p{L}\p{N}][^\s\u0001]*)/gu;
const QUOTED = /"([^"]*)"?/gu;
/** Words after which a camera's name is a thing: "a white door", "two yards". */
const DESCRIBING = new Set(`a an the this that any some no with without of and or two three four five many his her their
  white black gray grey red green blue yellow brown orange pink purple silver golden dark bright light big small large
  tall little long short old new open opened closed shut broken wooden metal glass stone front back left right
  empty wet dirty car garage`.split(/\s+/u));
/** Words before which a name at the beginning is a thing: "street with cars". */
const DESCRIBED = new Set('with without of in on at and or is being next near under behind'.split(' '));

/**
 * @param {string} text as typed.
 * @param {{now: number, zone: string, cameras: string[]}} here
 * @returns {{words: string, minus: string[], camera: string[], from: string, to: string, at: ?number, hours: string,
 *   days: string, parts: {kind: 'time'|'hours'|'days'|'camera'|'minus', phrase: string, start: number, end: number,
 *   value: string}[]}}
 */
export function understand(text, here) {
  const parts = [];
  const clear = (source, start, end) => source.slice(0, start) + ' '.repeat(end - start) + source.slice(end);
  const take = (kind, start, end, value = '') =>
    parts.push({ kind, phrase: text.slice(start, end).trim(), start, end, value });

  let rest = text;
  const schedule = { hours: '', days: '' };
  const restrict = (kind, one) => {
    if (!one) return;
    take(kind, one.start, one.end, schedule[kind] = one.value);
    rest = clear(rest, one.start, one.end);
  };
  restrict('days', findDays(hideQuotes(rest)));
  const time = findTime(rest, here);
  for (const [start, end] of time?.phrases ?? []) {
    take('time', start, end);
    rest = clear(rest, start, end);
  }
  restrict('hours', findHours(hideQuotes(rest)));
  let found;
  while ((found = findCamera(rest, here.cameras))) {
    take('camera', found.start, found.end, found.camera);
    rest = clear(rest, found.start, found.end);
  }
  const masked = hideQuotes(rest);
  for (const match of [...masked.matchAll(MINUS)]) {
    const [start, end] = [match.index, match.index + match[0].length];
    if (!rest.slice(0, start).trim() && !rest.slice(end).trim()) break; // a minus alone asks for nothing
    take('minus', start, end, rest.slice(start + 1, end).replaceAll('"', '').trim());
    rest = clear(rest, start, end);
  }
  const cuts = [...hideQuotes(rest).matchAll(NEGATION)];
  const ends = [...cuts.slice(1).map((match) => match.index), text.length];
  if (rest.slice(0, cuts[0]?.index ?? 0).trim()) {
    cuts.forEach((match, i) => {
      const value = rest.slice(match.index + match[0].length, ends[i]).replaceAll('"', '').replace(/\s+/gu, ' ').trim();
      const last = match.index + rest.slice(match.index, ends[i]).trimEnd().length;
      if (value) take('minus', match.index, last, value);
    });
    for (const part of parts.filter((one) => one.kind === 'minus')) rest = clear(rest, part.start, part.end);
  }
  const iso = (ms) => (ms === null || ms === undefined ? '' : new Date(ms).toISOString().replace('.000Z', 'Z'));
  return {
    words: rest.replace(/\s+/gu, ' ').replace(/[\s,]+$/u, '').trim(),
    minus: parts.filter((one) => one.kind === 'minus').map((one) => one.value),
    camera: [...new Set(parts.filter((one) => one.kind === 'camera').map((one) => one.value))],
    from: iso(time?.from), to: iso(time?.to), at: time?.at ?? null, ...schedule,
    parts: parts.sort((a, b) => a.start - b.start),
  };
}

/** The text with this phrase in quotes, so that it is words and nothing else. */
export const asWords = (text, { start, end }) => {
  const phrase = text.slice(start, end);
  const [lead] = /^[\s,]*/u.exec(phrase);
  return `${text.slice(0, start)}${lead}"${phrase.trim().replace(/^,\s*/u, '').replaceAll('"', '')}"${text.slice(end)}`;
};

/** Words without their quotes, as they are sent. */
export const unquoted = (words) => words.replaceAll('"', '').replace(/\s+/gu, ' ').trim();

const hideQuotes = (text) => text.replace(QUOTED, (match) => '\u0001'.repeat(match.length));

function findCamera(text, cameras) {
  const hidden = hideQuotes(text);
  const names = [...cameras].sort((a, b) => b.length - a.length);
  for (const camera of names) {
    const name = camera.split(/[-_. ]+/u).map((one) => one.replace(/[^\p{L}\p{N}]/gu, '\\$&')).join('[-_. ]+');
    const word = String.raw`(?<![\p{L}\p{N}_.\u0001-])(?<lead>(?:(?:in|on|at|from)\s+(?:the\s+)?)?(?:camera:?\s*|cam\s+)?)` +
      String.raw`(?<name>${name})(?<tail>\s+camera|\s+cam)?(?![\p{L}\p{N}_-])`;
    for (const match of hidden.matchAll(new RegExp(word, 'giu'))) {
      const [start, end] = [match.index, match.index + match[0].length];
      const sure = match.groups.lead || match.groups.tail || isName(match.groups.name, camera);
      if (sure || standsAlone(hidden.slice(0, start), hidden.slice(end))) return { camera, start, end };
    }
  }
  return null;
}

/** Whether it is written like a name and not like a word: cam1, front_door. */
const isName = (written, camera) => written.toLowerCase() === camera.toLowerCase() && /[\d_.-]/u.test(camera);

function standsAlone(before, after) {
  const left = before.trim().toLowerCase().split(/\s+/u).at(-1);
  const right = after.trim().toLowerCase().split(/\s+/u)[0];
  if (!left && !right) return true;
  if (!right) return !DESCRIBING.has(left) && !/[,"-]$/u.test(left);
  return !left && !DESCRIBED.has(right) && !/(?:ing|ed)$/u.test(right);
}
