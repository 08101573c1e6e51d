// The bar below the picture: while it is dragged, pictures of the samples are shown at once; released, the video seeks.

import { isoOf, parseId } from './moment-id.js';

const AROUND = 30_000; // milliseconds on each side of a moment that the bar reaches
const PICTURES = 48; // pictures that are kept ready for the bar
const SIDE = 240; // pixels of their shorter side
const AT_ONCE = 3; // pictures that are fetched at a time, so that the video comes first
const ENDS = ['change', 'pointerup', 'pointercancel', 'blur']; // no change is told by a bar that was dragged back to where it was

/** Owns a range input and the picture that is shown while it is dragged. onSeek(ms) when it is released. */
export class Scrubber {
  #input; #image; #part; #api; #onSeek; #onScrub; #frames = []; #asking = new AbortController(); #queue = []; #loading = 0;
  #missed = false; #later = null;

  constructor({ input, image, part }, api, { onSeek, onScrub }) {
    [this.#input, this.#image, this.#part, this.#api] = [input, image, part, api];
    [this.#onSeek, this.#onScrub] = [onSeek, onScrub];
    Object.assign(this, { camera: '', from: 0, to: 1, dragging: false });
    input.addEventListener('input', () => this.#drag());
    for (const type of ENDS) input.addEventListener(type, () => this.#release());
  }

  /** Let the bar reach around [start, end] of a camera; pictures are fetched for it if it moved. While it is dragged it stays. */
  reach(camera, start, end) {
    this.#later = this.dragging ? [camera, start, end] : null;
    if (this.dragging) return;
    const inside = camera === this.camera && start >= this.from && end <= this.to;
    const around = Math.max(AROUND, (end - start) / 2);
    if (!inside) {
      Object.assign(this, { camera, from: start - around, to: end + around });
      this.#input.max = Math.round(this.to - this.from);
      this.#load();
    }
    const percent = (ms) => `${(ms - this.from) / (this.to - this.from) * 100}%`;
    Object.assign(this.#part.style, { left: percent(start), right: `calc(100% - ${percent(end)})` });
  }

  /** Show the time that is played. */
  set(ms) {
    if (!this.dragging) this.#input.value = Math.round(ms - this.from);
  }

  async #load() {
    this.#asking.abort();
    const { signal } = this.#asking = new AbortController();
    [this.#frames, this.#queue, this.#missed] = [[], [], false];
    const span = { camera: this.camera, from: isoOf(this.from), to: isoOf(this.to), limit: PICTURES };
    const found = await this.#api.frames(span, { signal }).catch(() => null);
    if (signal.aborted) return;
    this.#missed = found === null; // asked for again by the next drag
    this.#frames = (found?.frames ?? []).map((one) => ({ id: one.id, ms: parseId(one.id).start, image: null }));
    const start = () => { if (!signal.aborted && !this.dragging) this.#fetch(this.#spread()); };
    if (this.dragging) this.#fetch(this.#nearest());
    else requestIdleCallback(start, { timeout: 1500 });
  }

  /** All frames, every eighth first, then every fourth...: soon there is one near every place. */
  #spread() {
    const order = [];
    for (let step = 8; step >= 1; step /= 2) {
      this.#frames.forEach((one, i) => { if (i % step === 0 && !order.includes(one)) order.push(one); });
    }
    return order;
  }

  #nearest() {
    const far = (one) => Math.abs(one.ms - this.#ms);
    return [...this.#frames].sort((a, b) => far(a) - far(b));
  }

  #fetch(frames) {
    this.#queue = frames.filter((one) => !one.image);
    while (this.#loading < AT_ONCE && this.#queue.length) this.#next();
  }

  #next() {
    const one = this.#queue.shift();
    if (!one) return;
    const image = one.image = new Image();
    this.#loading++;
    image.onload = image.onerror = ({ type }) => {
      this.#loading--;
      one.ready = type === 'load';
      if (!one.ready) one.image = null; // asked for again by the next drag
      if (this.dragging) this.#show();
      this.#next();
    };
    image.src = this.#api.frameUrl(one.id, { side: SIDE });
  }

  get #ms() { return this.from + Number(this.#input.value); }

  #drag() {
    if (!this.dragging) {
      this.dragging = true;
      if (this.#missed) this.#load();
      else this.#fetch(this.#nearest());
    }
    this.#show();
    this.#onScrub(this.#ms);
  }

  /** Show the nearest picture that is there. */
  #show() {
    let best = null;
    for (const one of this.#frames) {
      if (one.ready && (!best || Math.abs(one.ms - this.#ms) < Math.abs(best.ms - this.#ms))) best = one;
    }
    if (!best) return;
    this.#image.src = best.image.src;
    this.#image.hidden = false;
  }

  #release() {
    if (!this.dragging) return;
    this.dragging = false;
    const ms = this.#ms;
    if (this.#later) this.reach(...this.#later);
    this.#input.blur();
    this.set(ms);
    this.#onSeek(ms);
  }

  close() {
    this.#asking.abort();
    this.#queue = [];
  }
}
