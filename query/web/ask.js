// Asks the service what the state asks for, and keeps only the answer to the latest question.

import * as api from './api.js';
import { momentIdOf, momentOfId } from './moment-id.js';
import { blobOf } from './pictures.js';
import { unquoted } from './understand.js';

const PAGE = 60;
const TYPING_PAUSE = 180; // milliseconds without a key before a question is asked
const FILTERS = ['camera', 'from', 'to', 'hours', 'days'];

export const isQuestion = (state) => Boolean(state.q || state.plus.length || state.pictures.length);

/** A term without its weight: FRAME of 0.5*FRAME. */
export const unweighted = (term) => term.replace(/^[\d.]+\*/u, '');

/** The parameters of /api/search for a state. */
export function paramsOf(state) {
  const params = Object.fromEntries([...FILTERS, 'sort', 'mark', 'fold', 'minus'].map((name) => [name, state[name]]));
  const words = unquoted(state.q);
  const quoted = state.q.includes('"'); // as one term: the service would split it at "without"
  return { ...params, q: quoted ? '' : words, plus: quoted ? [words, ...state.plus] : state.plus };
}

export const keyOf = (state) => JSON.stringify([paramsOf(state), state.pictures]);

export const blobsOf = (pictures) => pictures.map((one) => ({ sign: one.sign, name: one.name, blob: blobOf(one) }));

/** A frame of the index as a moment of no length, so that the same cards and player show it. */
const momentOfFrame = ({ id, time }) => ({ ...momentOfId(momentIdOf(id)), start: time, end: time, best: { time, frame: id } });

async function ask(state, after, signal) {
  if (!isQuestion(state)) {
    const { camera, from, to, hours, days } = state;
    const { frames } = await api.frames({ camera, from, to, hours, days, limit: 96 }, { signal });
    const moments = frames.map(momentOfFrame);
    if (state.sort !== 'oldest') moments.reverse();
    return { kind: 'frames', moments, near_misses: [], coverage: [], next: null, complete: true, problem: '' };
  }
  const params = { ...paramsOf(state), limit: PAGE, after };
  const found = await api.search(params, blobsOf(state.pictures), { signal });
  return { kind: 'moments', query: found.query, moments: found.moments, near_misses: found.near_misses, coverage: found.coverage, next: found.next,
    complete: found.complete, problem: found.problem };
}

/** Follows the store: asks after each change of the question, aborts what is out of date. */
export class Asker {
  #store;
  #key = null;
  #abort = new AbortController();
  #timer = 0;
  #more = false;

  constructor(store) {
    this.#store = store;
    store.subscribe((state) => this.#follow(state));
  }

  #follow(state) {
    if (!state.session) this.#forget();
    if (!state.session || !state.status?.records || state.view) return;
    const key = keyOf(state);
    if (key === this.#key) return;
    this.#key = key;
    this.#abort.abort();
    clearTimeout(this.#timer);
    this.#store.set({ loading: true }, { history: 'none' });
    this.#timer = setTimeout(() => this.#run(), state.text === state.q && !state.typing ? 0 : TYPING_PAUSE);
  }

  /** Whoever logs in next asks anew. */
  #forget() {
    this.#key = null;
    this.#abort.abort();
    clearTimeout(this.#timer);
  }

  /** Asks the same again. */
  repeat() {
    this.#key = null;
    this.#follow(this.#store.get());
  }

  async #run() {
    const { signal } = (this.#abort = new AbortController());
    const state = this.#store.get();
    this.#more = false;
    this.#store.set({ error: null }, { history: 'none' });
    try {
      const answer = { ...(await ask(state, '', signal)), key: this.#key };
      if (signal.aborted) return;
      this.#store.set({ answer, loading: false, unfolded: new Map() }, { history: 'none' });
    } catch (error) {
      if (signal.aborted) return;
      this.#store.set({ error, loading: false }, { history: 'none' });
    }
  }

  /** Adds the next page to the answer. */
  async more() {
    const { answer } = this.#store.get();
    if (!answer?.next || this.#more || answer.key !== this.#key) return;
    this.#more = true;
    const { signal } = this.#abort;
    try {
      const page = await ask(this.#store.get(), answer.next, signal);
      if (signal.aborted) return;
      const known = new Set(answer.moments.map((one) => one.id));
      const moments = [...answer.moments, ...page.moments.filter((one) => !known.has(one.id))];
      this.#store.set({ answer: { ...answer, moments, next: page.next } }, { history: 'none' });
    } catch (error) {
      if (!signal.aborted) this.#store.set({ error }, { history: 'none' });
    } finally {
      this.#more = false;
    }
  }
}
