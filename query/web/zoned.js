// Converts between instants and the clock on the wall of a time zone, over changes of daylight saving too.

const formats = new Map();

function formatOf(zone) {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, hourCycle: 'h23', era: 'short', year: 'numeric', month: 'numeric', day: 'numeric',
      hour: 'numeric', minute: 'numeric', second: 'numeric',
    });
    formats.set(zone, format);
  }
  return format;
}

/** What clock and calendar of `zone` show at an instant: {y, mo, d, h, mi, s}; months count from 1. */
export function wallOf(ms, zone) {
  const found = Object.fromEntries(formatOf(zone).formatToParts(ms).map((part) => [part.type, part.value]));
  return { y: +found.year, mo: +found.month, d: +found.day, h: +found.hour, mi: +found.minute, s: +found.second };
}

const asUtc = ({ y, mo, d, h = 0, mi = 0, s = 0 }) => Date.UTC(y, mo - 1, d, h, mi, s);

const offset = (ms, zone) => asUtc(wallOf(ms, zone)) - Math.floor(ms / 1000) * 1000;

/**
 * The instants at which `zone`'s clock shows this, as [first, last]: they differ while the clock is set back. A time
 * that is left out in spring counts on from the hour before it, as every calendar does.
 */
export function instantsOf(wall, zone) {
  const naive = asUtc(wall);
  const offsets = [offset(naive - 86400000, zone), offset(naive + 86400000, zone)];
  const found = offsets.map((one) => naive - one).filter((ms) => naive - ms === offset(ms, zone));
  if (!found.length) return [naive - offsets[0], naive - offsets[0]];
  return [Math.min(...found), Math.max(...found)];
}

/** The day `days` later in the calendar, however long the days are. */
export function addDays({ y, mo, d }, days) {
  const date = new Date(Date.UTC(y, mo - 1, d + days));
  return { y: date.getUTCFullYear(), mo: date.getUTCMonth() + 1, d: date.getUTCDate() };
}

/** 0 for Sunday. */
export const weekdayOf = ({ y, mo, d }) => new Date(Date.UTC(y, mo - 1, d)).getUTCDay();

/** Whether the calendar has this day. */
export function isDay({ y, mo, d }) {
  const same = addDays({ y, mo, d }, 0);
  return same.mo === mo && same.d === d;
}
