// Reads and writes the ids of moments and frames: camera~microseconds[~best~end][~region], see query/values/ids.py.

const ID = /^([\w.-]{1,64})~(-?\d{1,16})(?:~(\d{1,13})~(\d{1,13}))?(?:~([0-9a-f]{1,8}))?$/;

/** {camera, start, best, end} in milliseconds (with microseconds behind the point), or null. A frame has no length. */
export function parseId(id) {
  const found = ID.exec(id);
  if (!found) return null;
  const [, camera, start, best = 0, end = 0, region = ''] = found;
  const at = (by) => (Number(start) + Number(by)) / 1000;
  return { id, camera, start: at(0), best: at(best), end: at(end), region, isMoment: found[3] !== undefined };
}

const micros = (ms) => Math.round(ms * 1000);

/** The id of whatever a camera showed at an instant. */
export const frameId = (camera, ms) => `${camera}~${micros(ms)}`;

/** The id of a span of a camera's time; there is footage at `best`. */
export function spanId(camera, from, to, best = from) {
  const [start, middle, end] = [from, best, to].map(micros);
  return `${camera}~${start}~${Math.max(0, middle - start)}~${Math.max(0, end - start)}`;
}

/** The id of a moment's best frame. */
export function bestFrame(id) {
  const found = parseId(id);
  return found && frameId(found.camera, found.best) + (found.region ? `~${found.region}` : '');
}

/** Milliseconds since 1970 of an ISO time, with its microseconds behind the point, which Date drops. */
export function preciseMs(iso) {
  const digits = /\.(\d{4,})/.exec(iso)?.[1];
  return Date.parse(iso) + (digits ? Number(`0.${digits.slice(3)}`) : 0);
}

/** The id of the moment of no length that a frame is. */
export function momentIdOf(frame) {
  const [camera, start, region] = frame.split('~');
  return [camera, start, 0, 0, region].filter((one) => one !== undefined).join('~');
}

/** What an id says of a moment, as the API gives moments; null if it is none. */
export function momentOfId(id) {
  const found = parseId(id);
  if (!found) return null;
  const [start, end, best] = [found.start, found.end, found.best].map(isoOf);
  return { id, camera: found.camera, start, end, best: { time: best, frame: bestFrame(id) }, score: null, count: 1, others: [],
    clock: '', missing: '', mark: null, exported: false };
}

export const isoOf = (ms) => new Date(Math.round(ms)).toISOString();
