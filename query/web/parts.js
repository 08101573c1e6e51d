// Loads the parts of the page that are needed later than its first view; what cannot be had is asked for again.

const IMPORTS = {
  timeline: () => import('./timeline-view.js'), review: () => import('./review.js'), player: () => import('./player.js'),
  tune: () => import('./tune.js'), goto: () => import('./goto.js'), alerts: () => import('./alerts.js'),
  live: () => import('./live.js'), watches: () => import('./watches.js'), shares: () => import('./share.js'),
};

/** Owns the modules of the parts, and what they have mounted. onChange() when one is there, or cannot be had. */
export class Parts {
  #onChange; #loaded = new Map(); #mounted = new Map(); #missing = new Map();

  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** The module of a part; null or undefined while it is not there. */
  get(name) { return this.#loaded.get(name); }

  /** What `start` of a part has returned. */
  mounted(name) { return this.#mounted.get(name); }

  /** Whether the service did not answer when a part was asked for. */
  get areMissing() { return this.#missing.size > 0; }

  /** Load a part once; `start(module)` runs when it is there, unless everything was forgotten meanwhile. */
  async load(name, start) {
    if (this.#loaded.has(name)) return;
    this.#loaded.set(name, null);
    const found = await IMPORTS[name]().catch(() => null);
    if (this.#loaded.get(name) !== null) return;
    if (found) {
      this.#missing.delete(name);
      this.#loaded.set(name, found);
      this.#mounted.set(name, start(found));
    } else {
      this.#missing.set(name, start);
    }
    this.#onChange();
  }

  /** Ask again for what could not be had. Browsers that remember a failure need the page to be loaded again. */
  again() {
    for (const [name, start] of this.#missing) {
      this.#loaded.delete(name);
      this.load(name, start);
    }
  }

  /** End and forget all, as after a log-out. */
  forget() {
    for (const one of this.#mounted.values()) one?.destroy?.();
    for (const all of [this.#loaded, this.#mounted, this.#missing]) all.clear();
  }
}
