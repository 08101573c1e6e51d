// Shows what the other cameras saw at the instant of the player, in a row; a click makes one the main one.

import { html, render } from './vendor/lit-html/lit-html.js';
import { isoOf, parseId } from './moment-id.js';
import { text as t } from './strings.js';

const APART = 2_000; // milliseconds that the player's time must move before the row is asked for again
const REST = 250; // milliseconds between two asks at least

/** Owns the row. onSwap(camera) when one is chosen. */
export class OtherCameras {
  #element; #api; #onSwap; #asking = null; #asked = { ms: -Infinity, camera: '' }; #timer = 0;

  constructor(element, api, onSwap) {
    [this.#element, this.#api, this.#onSwap] = [element, api, onSwap];
    this.#show(null);
  }

  /** Keep the row's place, or none where there is no other camera: what is above it must not move under a pointer. */
  reserve(cameras, camera) {
    this.#element.hidden = !cameras?.some((one) => one.camera !== camera);
  }

  /** Follow the player to an instant of a camera; `exact` when it rests there. */
  at(camera, ms, exact = false) {
    const near = Math.abs(ms - this.#asked.ms) < (exact ? 1 : APART) && camera === this.#asked.camera;
    if (near) return;
    this.#asked = { ms, camera };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(camera, ms), REST);
  }

  async #load(camera, ms) {
    this.#asking?.abort();
    this.#asking = new AbortController();
    try {
      const { frames } = await this.#api.frames({ at: isoOf(ms) }, { signal: this.#asking.signal });
      this.#show(frames.filter((one) => one.camera !== camera), ms);
    } catch (error) { // the row is a convenience: the player tells what is wrong, and it is asked for again
      if (error.name !== 'AbortError') this.#asked = { ms: -Infinity, camera: '' };
    }
  }

  /** `frames` are null while nothing is known yet. */
  #show(frames, ms = 0) {
    const apart = (one) => (parseId(one.id).start - ms) / 1000;
    render(html`<h3>${t.player.others}</h3><ul>${frames?.map((one) => html`
      <li><button type="button" class="other" title=${t.player.swap(one.camera)} @click=${() => this.#onSwap(one.camera)}>
        <img src=${this.#api.frameUrl(one.id, { side: 120 })} alt="" width="160" height="90">
        <span>${one.camera}</span><span class="hint">${t.player.apart(apart(one))}</span>
      </button></li>`)}${frames?.length === 0 ? html`<li class="hint">${t.player.noOthers}</li>` : ''}</ul>`, this.#element);
  }

  close() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }
}
