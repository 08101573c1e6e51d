// Prepares a clip for the player: whether it must be re-encoded, and which instant each of its seconds shows.

import { read, request } from './api.js';
import { preciseMs } from './moment-id.js';
import { frameTimes } from './mp4-times.js';

const FIRST = 1 << 16; // bytes that hold the index of most clips
const TYPES = { // what to ask the browser about a codec
  h264: 'avc1.640028', hevc: 'hvc1.1.6.L120.90', av1: 'av01.0.08M.08', vp9: 'vp09.00.40.08',
};

/** Whether this browser plays a codec in an MP4; an unknown one ('') may be tried. */
export function canPlay(codec) {
  if (!codec) return true;
  return codec in TYPES && document.createElement('video').canPlayType(`video/mp4; codecs="${TYPES[codec]}"`) !== '';
}

/** Get the first bytes of a clip, which is cut for it, and with them its headers and the times of its frames. */
export async function openClip(url, signal) {
  const get = (from, to) => request(url, { headers: { Range: `bytes=${from}-${to - 1}` }, signal });
  const response = await get(0, FIRST);
  const clip = new Clip(url, response.headers);
  const part = async (from, to) => read(await get(from, to), 'arrayBuffer');
  clip.times = await frameTimes(await read(response, 'arrayBuffer'), part);
  clip.base = clip.times?.[0] ?? 0;
  return clip;
}

/** A clip that has been cut. `spans` are {from, to, at}: instants in milliseconds, and the second of the file. */
class Clip {
  constructor(url, headers) {
    this.url = url;
    this.codec = headers.get('X-Footage-Codec') ?? '';
    this.transcoded = headers.get('X-Footage-Transcoded') === 'true';
    const [start, end] = ['Start', 'End'].map((name) => preciseMs(headers.get(`X-Footage-${name}`)));
    this.spans = readSpans(headers.get('X-Footage-Spans')) ?? [{ from: start, to: end, at: 0 }];
    this.times = null; // seconds in the file, one a frame; null: unknown, steps take the usual length of a frame
    this.base = 0; // second of the first frame
  }

  get start() { return this.spans[0].from; }

  get end() { return this.spans.at(-1).to; }

  /** The instant that the file's second shows. */
  instant(second) {
    const at = second - this.base;
    const span = this.spans.findLast((one) => one.at <= at + 1e-6) ?? this.spans[0];
    return span.from + (at - span.at) * 1000;
  }

  /** The file's second that shows an instant, of one in a gap the next; null where it is outside the clip. */
  second(ms) {
    if (ms < this.start - 1 || ms >= this.end) return null;
    const span = this.spans.find((one) => ms < one.to);
    return this.base + span.at + Math.max(0, ms - span.from) / 1000;
  }

  /** A second at which the frame `by` steps from the one shown at `second` is surely shown; null beyond the ends. */
  step(second, by) {
    const { times } = this;
    if (!times?.length) return second + by / 25;
    let i = times.findLastIndex((time) => time <= second + 5e-4);
    i += by;
    if (i < 0 || i >= times.length) return null;
    return i + 1 < times.length ? (times[i] + times[i + 1]) / 2 : times[i] + 1e-3;
  }
}

function readSpans(header) {
  if (!header) return null;
  let at = 0;
  return header.split(',').map((part) => {
    const [from, to] = part.trim().split('/').map(preciseMs);
    const span = { from, to, at };
    at += (to - from) / 1000;
    return span;
  });
}
