// Plays the footage of one camera: loads a clip for an instant, seeks and steps by the times of its frames, tells the time.

import { openClip, canPlay } from './player-clip.js';
import { bestFrame, frameId, isoOf, parseId, spanId } from './moment-id.js';
import { text as t } from './strings.js';

export const SPEEDS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16];
const PAD = 5; // seconds shown before and after a moment
const BEFORE = 5_000, AFTER = 55_000; // milliseconds of a clip around an instant
const KEPT = 'footage.speed';

/**
 * Owns a video and the picture in front of it. Told by it: onTime(ms) with each frame that is shown, onInfo(what the
 * service knows of a moment), onState(state):
 * {state: 'loading' | 'ready' | 'pictures' | 'missing', message, hint, download, clip}.
 */
export class Playback {
  #video; #image; #api; #on; #clip = null; #asking = new AbortController(); #shown = 0; #wanted = null; #sought = null; #stop;
  #frames = []; #mayPlay = true; #held = false; #soughtAt = 0;

  constructor(video, image, api, on) {
    Object.assign(this, { camera: '', ms: null, id: '', state: { state: 'loading' } });
    [this.#video, this.#image, this.#api, this.#on] = [video, image, api, on];
    this.#stop = new AbortController();
    const listen = (type, handle) => video.addEventListener(type, handle, { signal: this.#stop.signal });
    listen('seeked', () => this.#seeked());
    listen('error', () => this.#failed());
    listen('loadeddata', () => { image.hidden = !this.#held; });
    for (const type of ['play', 'pause', 'ratechange', 'ended']) listen(type, () => on.onState(this.state));
    this.#speed = this.#readSpeed();
    this.#watch();
  }

  #speed = 1;

  get clip() { return this.#clip; }

  get paused() { return this.#video.paused; }

  get speed() { return this.#speed; }

  set speed(value) {
    this.#speed = value;
    this.#video.defaultPlaybackRate = this.#video.playbackRate = value;
    try { localStorage.setItem(KEPT, value); } catch { /* a browser that keeps nothing forgets it */ }
  }

  #readSpeed() {
    try {
      const kept = Number(localStorage.getItem(KEPT));
      return SPEEDS.includes(kept) ? kept : 1;
    } catch { return 1; }
  }

  stepSpeed(by) {
    this.speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.#speed) + by))];
  }

  /** Show a moment from its start less the padding, or, given a frame's id, the footage around it. */
  open(id, { at = null, mayPlay = true, paused = false } = {}) {
    const named = parseId(id);
    if (!named) return this.#tell({ state: 'missing', message: t.player.badId(id) });
    this.#mayPlay = mayPlay;
    this.#held = false;
    this.camera = named.camera;
    if (!named.isMoment) return this.#openAt(named.camera, at ?? named.start, paused);
    const instant = named.start === named.end ? named.start : null; // as a click on the timeline names it
    return this.#load(id, PAD, at ?? instant, bestFrame(id), paused);
  }

  #openAt(camera, ms, paused = false) {
    return this.#load(spanId(camera, ms - BEFORE, ms + AFTER, ms), 0, ms, frameId(camera, ms), paused);
  }

  async #load(id, pad, at, picture, paused, reencode = null) {
    this.#asking.abort();
    const { signal } = this.#asking = new AbortController();
    this.id = id;
    this.#clip = this.#wanted = this.#sought = null;
    this.#video.removeAttribute('src');
    this.#video.load();
    this.ms = at ?? parseId(picture).start;
    if (!this.#held) {
      this.#showPicture(picture);
      this.#on.onTime(this.ms);
    }
    this.#tell({ state: 'loading' });
    try {
      const info = await this.#api.moment(id, { signal });
      this.#on.onInfo(info);
      if (!info.footage) throw Object.assign(new Error(info.missing), { gone: true });
      if (!this.#mayPlay) return await this.#loadPictures(signal);
      const recode = reencode ?? (info.playable === false && !canPlay(info.codec));
      const clip = await openClip(this.#api.clipUrl(id, { pad, play: recode ? 1 : '' }), signal);
      if (pad && at !== null && clip.second(at) === null) return await this.#openAt(this.camera, at, paused);
      this.#clip = Object.assign(clip, { pad, recode, download: this.#api.clipUrl(id, { pad }), codec: info.codec || clip.codec });
      this.#video.src = clip.url;
      this.speed = this.#speed;
      this.#seekSecond(clip.second(at ?? clip.start) ?? clip.base);
      this.#tell({ state: 'ready' });
      if (!paused) this.#video.play().catch(() => {}); // a browser may want a click first
      return undefined;
    } catch (error) {
      if (error.name === 'AbortError') return undefined;
      if (error.status === 403) await this.#loadPictures(signal).catch(() => {});
      else this.#tell({ state: 'missing', message: error.message, hint: error.hint });
      if (error.gone) this.#image.hidden = true;
      return undefined;
    }
  }

  /** Who may not have clips sees the pictures of the samples. */
  async #loadPictures(signal) {
    const around = { camera: this.camera, from: isoOf(this.ms - AFTER), to: isoOf(this.ms + AFTER) };
    const { frames } = await this.#api.frames({ ...around, limit: 200 }, { signal });
    this.#frames = frames.map((one) => ({ id: one.id, ms: parseId(one.id).start }));
    this.#tell({ state: 'pictures' });
  }

  #showPicture(id) {
    this.#image.hidden = false;
    this.#image.src = this.#api.frameUrl(id, { side: 540 });
  }

  /** The browser cannot play it although it said so: re-encoded once, then offered as a download. */
  #failed() {
    if (!this.#clip || this.#video.getAttribute('src') === null) return;
    const { recode, download, codec, pad } = this.#clip;
    if (recode) this.#tell({ state: 'missing', message: t.player.cannotPlay(codec), download });
    else this.#load(this.id, pad, this.ms, frameId(this.camera, this.ms), this.paused, true);
  }

  #tell(state) {
    this.state = { message: '', hint: '', download: '', ...state, clip: this.#clip };
    this.#on.onState(this.state);
  }

  toggle() {
    const video = this.#video;
    if (!this.#clip) return;
    if (video.ended) this.seek(this.#clip.end + 1, false);
    else if (video.paused) video.play().catch(() => {});
    else video.pause();
  }

  pause() { this.#video.pause(); }

  /** Leave the picture in front, and its time, until the next seek: the bar is dragged. */
  hold() { this.#held = true; }

  /** Show an instant, of the loaded clip or of a new one. */
  seek(ms, paused = this.paused) {
    this.#held = false;
    const second = this.#clip?.second(ms) ?? null;
    if (this.state.state === 'pictures' && this.#frames.length && Math.abs(ms - this.#frames[0].ms) < 2 * AFTER) this.#showNearest(ms);
    else if (second === null) this.#openAt(this.camera, ms, paused);
    else this.#seekSecond(second);
  }

  skip(by) { this.seek(this.target + by); }

  /** The instant that is shown, or is being sought. */
  get target() {
    return this.#wanted === null || !this.#clip ? this.ms : this.#clip.instant(this.#wanted);
  }

  /** Show the next or previous frame, and pause. */
  step(by) {
    this.pause();
    if (this.state.state === 'pictures') return this.#stepPicture(by);
    if (!this.#clip) return undefined;
    const second = this.#clip.step(this.#wanted ?? this.#shown, by);
    if (second !== null) return this.#seekSecond(second);
    return this.seek(by > 0 ? this.#clip.end + 1 : this.#clip.start - 40, true);
  }

  #stepPicture(by) {
    const i = this.#frames.findLastIndex((one) => one.ms <= this.ms + 0.5) + by;
    if (this.#frames[i]) this.#showNearest(this.#frames[i].ms);
  }

  #showNearest(ms) {
    const far = (one) => Math.abs(one.ms - ms);
    const best = this.#frames.reduce((a, b) => (far(b) < far(a) ? b : a));
    this.ms = best.ms;
    this.#showPicture(best.id);
    this.#on.onTime(best.ms);
  }

  #seekSecond(second) {
    this.#wanted = second;
    if (!this.#video.seeking || this.#sought === null) this.#go(second);
  }

  #go(second) {
    this.#soughtAt = performance.now();
    this.#video.currentTime = this.#sought = second;
  }

  #seeked() {
    if (this.#video.seeking) return; // a newer seek is under way, and tells its end
    if (this.#wanted !== this.#sought) this.#go(this.#wanted); // asked for meanwhile
    else this.#arrive();
  }

  /** From here the next step goes, also before the frame that is there now has told its own time. */
  #arrive() {
    if (this.#clip && this.#sought !== null) {
      this.#shown = this.#sought;
      this.ms = this.#clip.instant(this.#sought);
    }
    this.#wanted = this.#sought = null;
    if (!this.#held) this.#image.hidden = true; // also where the frame is the one that was there
  }

  /** Tell the time of every frame that is shown: its own, not that of the clock that plays. */
  #watch() {
    const told = (_, { mediaTime, presentationTime }) => {
      if (this.#stop.signal.aborted) return;
      const old = presentationTime < this.#soughtAt; // told late, of before the seek
      if (this.#clip && !this.#held && !old) {
        if (!this.#video.seeking && this.#wanted === this.#sought) this.#wanted = this.#sought = null;
        this.#shown = mediaTime;
        this.ms = this.#clip.instant(mediaTime);
        this.#image.hidden = true;
        this.#on.onTime(this.ms);
      }
      this.#video.requestVideoFrameCallback?.(told);
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(told);
    else this.#video.addEventListener('timeupdate', () => told(0, { mediaTime: this.#video.currentTime }));
  }

  close() {
    this.#asking.abort();
    this.#stop.abort();
    this.#video.removeAttribute('src');
    this.#video.load();
  }
}
