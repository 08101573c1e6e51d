// Calls the service's public API (/openapi.json), one function a route; errors become ApiError.

import { momentIdOf } from './moment-id.js';
import { text as t } from './strings.js';

export class ApiError extends Error {
  constructor(status, error, hint = '') {
    super(error);
    this.name = 'ApiError';
    this.status = status; // 0: the service cannot be reached
    this.error = error;
    this.hint = hint;
  }
}

/** What an error says and, where it is known, what to do about it. */
export const explain = ({ message, hint }) => [message, hint].filter(Boolean).join('. ');

/** Told when the service asks for a token. */
export const unauthorized = new EventTarget();

/** Path segments of ids; `~` stays as it is. */
const path = (id) => encodeURIComponent(id);

function query(params) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (Array.isArray(value)) for (const one of value) all.append(name, one);
    else if (value !== undefined && value !== null && value !== '' && value !== false) all.set(name, value);
  }
  const text = all.toString();
  return text && '?' + text;
}

/** A response that is well; an error of the service, or that it does not answer, is thrown as ApiError. */
export async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, t.app.unreachable, t.app.unreachableHint);
  }
  if (response.ok) return response;
  const told = isJson(response) ? await read(response, 'json') : {};
  if (response.status === 401) unauthorized.dispatchEvent(new Event('unauthorized'));
  throw new ApiError(response.status, told.error ?? response.statusText, told.hint);
}

/** What a response holds, read by `how`; the service may end while it sends. */
export async function read(response, how) {
  try {
    return await response[how]();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, t.app.unreachable, t.app.unreachableHint);
  }
}

const isJson = (response) => (response.headers.get('Content-Type') ?? '').startsWith('application/json');

async function call(method, url, { body, json, signal } = {}) {
  const headers = json === undefined ? {} : { 'Content-Type': 'application/json' };
  const response = await request(url, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  return isJson(response) ? read(response, 'json') : response;
}

const get = (url, options) => call('GET', url, options);

export const session = () => get('/api/session');
export const logIn = (token) => call('POST', '/api/session', { json: { token } });
export const logOut = () => call('DELETE', '/api/session');
export const status = (options) => get('/api/status', options);
export const cameras = (options) => get('/api/cameras', options);
export const coverage = (params, options) => get('/api/coverage' + query(params), options);
export const frames = (params, options) => get('/api/frames' + query(params), options);
export const moment = (id, options) => get('/api/moments/' + path(id), options);

/** `pictures`: [{sign: 'plus' or 'minus', name, blob}]. */
export function search(params, pictures = [], options = {}) {
  if (!pictures.length) return get('/api/search' + query(params), options);
  const body = new FormData();
  for (const one of pictures) body.append(one.sign, one.blob, one.name);
  return call('POST', '/api/search' + query(params), { ...options, body });
}

export const addCamera = (json) => call('POST', '/api/cameras', { json });
export const testCamera = (json, options) => call('POST', '/api/cameras/test', { json, ...options });

export const frameUrl = (id, params = {}) => `/api/frames/${path(id)}.jpg` + query(params);
export const clipUrl = (id, params = {}) => `/api/moments/${path(id)}/clip.mp4` + query(params);

export const putMark = (moment, json) => call('PUT', '/api/marks/' + path(moment), { json });
export const removeMark = (moment) => call('DELETE', '/api/marks/' + path(moment));

/** Do `work(id)` with a moment; in place of an instant between two pictures of the index, with the picture that stands for it. */
export async function ofRecord(about, work) {
  try {
    return await work(about.id);
  } catch (error) {
    if (error.status !== 404) throw error;
    const { frames: found } = await frames({ camera: about.camera, at: about.best.time });
    if (!found.length) throw error;
    return work(momentIdOf(found[0].id));
  }
}

export const watches = (options) => get('/api/watches', options);
export const addWatch = (json) => call('POST', '/api/watches', { json });
export const pauseWatch = (name, paused) => call('PATCH', '/api/watches/' + path(name), { json: { paused } });
export const removeWatch = (name) => call('DELETE', '/api/watches/' + path(name));
export const testWatch = (name, params, options) => get(`/api/watches/${path(name)}/test` + query(params), options);

export const shares = (options) => get('/api/shares', options);
export const addShare = (json) => call('POST', '/api/shares', { json });
export const removeShare = (id) => call('DELETE', '/api/shares/' + path(id));

/** The zip of many moments, as a Blob. */
export const exportZip = async (json) => read(await call('POST', '/api/export', { json }), 'blob');

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
