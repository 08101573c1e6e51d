// Reads the presentation times of every frame from the head of an MP4 file (ISO/IEC 14496-12), to step frame by frame.

const MOST = 8 << 20; // a longer index is not read

/**
 * The times of the video's frames in seconds, in order; null where the file has no index at its front.
 * `first` are the file's first bytes; `part(from, to)` gets others.
 */
export async function frameTimes(first, part) {
  let bytes = first;
  const moov = find(new DataView(bytes), 0, bytes.byteLength, 'moov');
  if (!moov || moov.end > MOST) return null;
  if (moov.end > bytes.byteLength) bytes = await part(0, moov.end);
  return bytes.byteLength >= moov.end ? videoTimes(new DataView(bytes), moov) : null;
}

/** The boxes in [at, end): [{type, at, end}]; one that is cut short has the end that it should have. */
function* boxes(view, at, end) {
  while (at + 16 <= end) {
    const type = String.fromCharCode(...[4, 5, 6, 7].map((i) => view.getUint8(at + i)));
    let size = view.getUint32(at), head = 8;
    if (size === 1) [size, head] = [Number(view.getBigUint64(at + 8)), 16];
    if (size < head) return;
    yield { type, at: at + head, end: at + size };
    at += size;
  }
}

function find(view, at, end, ...types) {
  const [type, ...rest] = types;
  for (const box of boxes(view, at, end)) {
    if (box.type === type) return rest.length ? find(view, box.at, box.end, ...rest) : box;
  }
  return null;
}

function videoTimes(view, moov) {
  const scale = headerScale(view, find(view, moov.at, moov.end, 'mvhd'));
  for (const trak of boxes(view, moov.at, moov.end)) {
    if (trak.type !== 'trak') continue;
    const handler = find(view, trak.at, trak.end, 'mdia', 'hdlr');
    if (handler && view.getUint32(handler.at + 8) === 0x76696465) return trackTimes(view, trak, scale); // 'vide'
  }
  return null;
}

function trackTimes(view, trak, movieScale) {
  const scale = headerScale(view, find(view, trak.at, trak.end, 'mdia', 'mdhd'));
  const table = find(view, trak.at, trak.end, 'mdia', 'minf', 'stbl');
  const durations = runs(view, table && find(view, table.at, table.end, 'stts'));
  const offsets = runs(view, table && find(view, table.at, table.end, 'ctts'));
  const shift = editShift(view, find(view, trak.at, trak.end, 'edts', 'elst'), movieScale, scale);
  const times = new Float64Array(durations.length);
  for (let i = 0, decode = 0; i < times.length; decode += durations[i], i++) {
    times[i] = (decode + (offsets[i] ?? 0) + shift) / scale;
  }
  return times.sort().filter((time) => time > -1e-6); // what an edit cuts off is not shown
}

const headerScale = (view, box) => view.getUint32(box.at + (view.getUint8(box.at) ? 20 : 12));

/** The values of a table of (count, value) pairs, one for each sample. */
function runs(view, box) {
  const found = [];
  if (!box) return found;
  for (let i = 0, count = view.getUint32(box.at + 4); i < count; i++) {
    const value = view.getInt32(box.at + 12 + 8 * i);
    for (let n = view.getUint32(box.at + 8 + 8 * i); n > 0; n--) found.push(value);
  }
  return found;
}

/** What the edit list adds to the times, in units of the track: an empty edit delays, the first media time cuts. */
function editShift(view, box, movieScale, scale) {
  if (!box) return 0;
  const long = view.getUint8(box.at) === 1, size = long ? 20 : 12;
  let shift = 0;
  for (let i = 0, count = view.getUint32(box.at + 4), at = box.at + 8; i < count; i++, at += size) {
    const duration = long ? Number(view.getBigUint64(at)) : view.getUint32(at);
    const time = long ? Number(view.getBigInt64(at + 8)) : view.getInt32(at + 4);
    if (time >= 0) return shift - time;
    shift += duration / movieScale * scale;
  }
  return shift;
}
