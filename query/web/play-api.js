// Calls the routes of marks, exports, watches and shares, beside those of api.js.

import { call, clipUrl, path, query } from './api.js';

export * from './api.js';

export const marks = (params, options) => call('GET', '/api/marks' + query(params), options);
export const putMark = (moment, json) => call('PUT', '/api/marks/' + path(moment), { json });
export const removeMark = (moment) => call('DELETE', '/api/marks/' + path(moment));

/** Do `work(id)` with a moment; in place of an instant between two pictures of the index, with the picture that stands for it. */
export async function ofRecord(moment, work) {
  try {
    return await work(moment.id);
  } catch (error) {
    if (error.status !== 404) throw error;
    const { frames } = await call('GET', '/api/frames' + query({ camera: moment.camera, at: moment.best.time }));
    if (!frames.length) throw error;
    return work(`${frames[0].id}~0~0`);
  }
}

export const watches = (options) => call('GET', '/api/watches', options);
export const addWatch = (json) => call('POST', '/api/watches', { json });
export const pauseWatch = (name, paused) => call('PATCH', '/api/watches/' + path(name), { json: { paused } });
export const removeWatch = (name) => call('DELETE', '/api/watches/' + path(name));
export const testWatch = (name, params, options) => call('GET', `/api/watches/${path(name)}/test` + query(params), options);

export const shares = (options) => call('GET', '/api/shares', options);
export const addShare = (json) => call('POST', '/api/shares', { json });
export const removeShare = (id) => call('DELETE', '/api/shares/' + path(id));

/** The zip of many moments, as a Blob. */
export const exportZip = async (json) => (await call('POST', '/api/export', { json })).blob();

/** Let the browser save what an address, or a Blob, holds. */
export function download(source, name = '') {
  const link = document.createElement('a');
  link.href = source instanceof Blob ? URL.createObjectURL(source) : source;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  if (source instanceof Blob) setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const downloadClip = (id, params = {}) => download(clipUrl(id, params), 'clip.mp4');
