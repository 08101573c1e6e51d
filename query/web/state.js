// Keeps the state of the page. What is asked and opened is in the address too, so that a link opens the same view.

/** Names in the address with their defaults; a list is a parameter that may be repeated. */
const ADDRESS = {
  view: '', // '' find, live, watches, shares, add
  q: '', plus: [], minus: [], camera: [], from: '', to: '', hours: '', days: '',
  sort: 'score', // score, time (newest), oldest
  mark: '', fold: false, by: '', boxes: false,
  open: '', t: '', // id of the moment in the player, and its time (ISO)
};
const ASKED = ['q', 'plus', 'minus', 'camera', 'from', 'to', 'hours', 'days'];
const PICTURES = /^#pictures=(.*)$/;

function readAddress(location) {
  const query = new URLSearchParams(location.search);
  const state = {};
  for (const [name, preset] of Object.entries(ADDRESS)) {
    if (Array.isArray(preset)) state[name] = query.getAll(name);
    else if (typeof preset === 'boolean') state[name] = query.get(name) === '1';
    else state[name] = query.get(name) ?? preset;
  }
  state.pictures = readPictures(location.hash);
  return state;
}

/** The address of a state, without what is as by default; `patch` changes it first. */
export function address(state, patch = {}) {
  const all = { ...state, ...patch };
  const query = new URLSearchParams();
  for (const [name, preset] of Object.entries(ADDRESS)) {
    const value = all[name];
    if (Array.isArray(preset)) for (const one of value) query.append(name, one);
    else if (typeof preset === 'boolean') { if (value) query.set(name, '1'); }
    else if (value !== preset) query.set(name, value);
  }
  const text = query.toString();
  return '/' + (text && '?' + text) + writePictures(all.pictures ?? []);
}

// Pictures that were dropped are part of the question: scaled down, they travel in the address's fragment, which a
// browser never sends to the server.
function readPictures(hash) {
  const found = PICTURES.exec(hash);
  if (!found) return [];
  return found[1].split(',').flatMap((one) => {
    const [sign, name, data] = one.split(':');
    try {
      return [{ sign, name: decodeURIComponent(name), data: data.replaceAll('-', '+').replaceAll('_', '/') }];
    } catch {
      return [];
    }
  });
}

function writePictures(pictures) {
  const parts = pictures.map(({ sign, name, data }) =>
    [sign, encodeURIComponent(name), data.replaceAll('+', '-').replaceAll('/', '_')].join(':'));
  return parts.length ? '#pictures=' + parts.join(',') : '';
}

class Store {
  #state;
  #listeners = new Set();
  #scheduled = false;

  constructor() {
    this.#state = {
      ...readAddress(window.location),
      text: '', // what is in the box; `q` is its words without those that became chips
      base: null, // chips of before the text in the box was typed
      parts: [], // what the text was understood as, see timewords.js
      session: undefined, // undefined: not asked yet; null: a token is needed
      status: null, cameras: null, // of the service
      answer: null, loading: false, error: null, // of the last search
      selected: new Set(), focused: '', // ids of moments
    };
    this.#state.text = this.#state.q;
    window.addEventListener('popstate', () => {
      const found = readAddress(window.location);
      this.set({ ...found, text: found.q, base: null, parts: [] }, { history: 'none' });
    });
  }

  get() {
    return this.#state;
  }

  /**
   * Changes the state; `history` is 'push' (a step that Back undoes), 'replace' (while typing) or 'none'.
   * A filter that is set by anything but typing becomes a chip of its own, and the text is left with the words.
   */
  set(patch, { history = 'push' } = {}) {
    const before = this.#state;
    const next = { ...before, ...patch };
    if (!('text' in patch) && ASKED.some((name) => name in patch && patch[name] !== before[name])) {
      next.text = next.q;
      next.base = null;
      next.parts = before.parts.filter((part) => part.kept).concat(before.parts.filter((part) => !part.kept)
        .map((part) => ({ ...part, kept: true })));
    }
    this.#state = next;
    const to = address(next);
    const here = window.location.pathname + window.location.search + window.location.hash;
    if (history !== 'none' && to !== here) window.history[history + 'State'](null, '', to);
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        for (const listener of this.#listeners) listener(this.#state);
      });
    }
  }

  /** Calls `listener(state)` after changes, at most once per task; returns what ends it. */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export const store = new Store();

export function toggleSelected(id) {
  const selected = new Set(store.get().selected);
  if (!selected.delete(id)) selected.add(id);
  store.set({ selected }, { history: 'none' });
}

/** All moments that the page knows: of the answer, its near misses, and look-alikes that were opened. */
export const momentsOf = ({ answer, unfolded }) =>
  [...(answer?.moments ?? []), ...(answer?.near_misses ?? []), ...[...(unfolded?.values() ?? [])].flat()];
