// Calls the service's public API (/openapi.json), one function a route; errors become ApiError.

export class ApiError extends Error {
  constructor(status, error, hint = '') {
    super(error);
    this.name = 'ApiError';
    this.status = status; // 0: the service cannot be reached
    this.error = error;
    this.hint = hint;
  }
}

/** Told when the service asks for a token. */
export const unauthorized = new EventTarget();

/** Path segments of ids; `~` stays as it is. */
export const path = (id) => encodeURIComponent(id);

export function query(params) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (Array.isArray(value)) for (const one of value) all.append(name, one);
    else if (value !== undefined && value !== null && value !== '' && value !== false) all.set(name, value);
  }
  const text = all.toString();
  return text && '?' + text;
}

export async function call(method, url, { body, json, signal } = {}) {
  const headers = json === undefined ? {} : { 'Content-Type': 'application/json' };
  let response;
  try {
    response = await fetch(url, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'the service does not answer', 'is footage serve still running?');
  }
  const type = response.headers.get('Content-Type') ?? '';
  const isJson = type.startsWith('application/json');
  if (response.ok) return isJson ? response.json() : response;
  const told = isJson ? await response.json() : {};
  if (response.status === 401) unauthorized.dispatchEvent(new Event('unauthorized'));
  throw new ApiError(response.status, told.error ?? response.statusText, told.hint);
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
export const removeCamera = (name) => call('DELETE', '/api/cameras/' + path(name));

export const frameUrl = (id, params = {}) => `/api/frames/${path(id)}.jpg` + query(params);
export const clipUrl = (id, params = {}) => `/api/moments/${path(id)}/clip.mp4` + query(params);
