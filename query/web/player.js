// Shows a moment: plays it, steps by frame, scrubs, asks for more like a part of it, and has it reviewed and handed over.

import { render } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { dayOf, preciseOf, utcOf } from './format.js';
import { activate, register } from './keys.js';
import { isoOf, momentOfId, parseId, spanId } from './moment-id.js';
import { BoxDrawer } from './player-box.js';
import { movePlayhead } from './playhead.js';
import { playerLayout } from './player-layout.js';
import { OtherCameras } from './player-others.js';
import { Scrubber } from './player-scrub.js';
import { Swipe } from './player-swipe.js';
import { Playback } from './player-video.js';
import { copyLink, markOf, setMark } from './review.js';
import { toggleSelected } from './state.js';
import { text as t } from './strings.js';
import { mountTimeline } from './timeline-view.js';

const text = t.player;
const AROUND = 120_000; // milliseconds that the timeline shows on each side of a moment

/** Mount into `element`; it shows itself while the state's `open` names a moment. ctx = {store, api, say}. */
export const mountPlayer = (element, ctx) => new Player(element, ctx);

const listOf = (state) => [...(state.answer?.moments ?? []), ...(state.answer?.near_misses ?? [])];

/** The time of the address in milliseconds; null where there is none. */
function timeOf(t) {
  const ms = Date.parse(t ?? '');
  return Number.isNaN(ms) ? null : ms;
}

export class Player {
  #element; #ctx; #moment = null; #list = []; #playback = null; #scrubber; #boxes; #others; #timeline; #stops = []; #part = {}; #panel = '';
  #cut = { from: null, to: null }; #state = {}; #returnTo = null; #seenT = '';

  constructor(element, ctx) {
    [this.#element, this.#ctx] = [element, ctx];
    this.#registerKeys();
    this.#stops.push(ctx.store.subscribe((state) => this.#follow(state)));
    this.#follow(ctx.store.get());
  }

  destroy() {
    this.close();
    this.#stops.forEach((stop) => stop());
  }

  #follow(state) {
    const list = listOf(state);
    if (!state.open) return this.close();
    if (state.open !== this.#moment?.id) return this.open(list.find((one) => one.id === state.open) ?? momentOfId(state.open), list);
    this.#list = list;
    this.#moment = list.find((one) => one.id === state.open) ?? this.#moment;
    if (state.t !== this.#seenT && timeOf(this.#seenT = state.t) !== null) this.#playback.seek(timeOf(state.t));
    return this.#draw();
  }

  /** Show a moment; `list` is what next and previous go through. */
  open(moment, list = []) {
    if (!moment) return this.#ctx.say(text.badId(this.#ctx.store.get().open));
    Object.assign(this.#cut, { from: null, to: null });
    [this.#moment, this.#list, this.#panel] = [moment, list, ''];
    if (!this.#playback) this.#build();
    const { session, t } = this.#ctx.store.get();
    this.#seenT = t ?? '';
    this.#playback.open(moment.id, { at: timeOf(t), paused: timeOf(t) !== null, mayPlay: session?.role !== 'view' });
    this.#reach();
    this.#timeline.showAround();
    this.#draw();
    return this.#element.querySelector('.player').focus({ preventScroll: true });
  }

  close() {
    if (!this.#playback) return;
    this.#boxes.stop();
    [this.#playback, this.#scrubber, this.#others].forEach((one) => one.close());
    this.#timeline.destroy();
    this.#playback = this.#moment = null;
    this.#cover(false);
    render('', this.#element);
    movePlayhead(null);
    this.#returnTo?.focus?.({ preventScroll: true });
  }

  /** Make the parts that own elements; the template below is drawn once before. */
  #build() {
    this.#returnTo = document.activeElement;
    this.#draw();
    const find = (name) => this.#element.querySelector(`.${name}`);
    this.#part = { time: find('player-time'), day: find('player-day'), image: find('player-picture') };
    this.#playback = new Playback(find('player-video'), this.#part.image, api, {
      onTime: (ms) => this.#tellTime(ms),
      onInfo: (info) => this.#learn(info),
      onState: (state) => { this.#state = state; this.#reach(); this.#draw(); this.#rest(); },
    });
    this.#scrubber = new Scrubber({ input: find('player-bar'), image: this.#part.image, part: find('player-part') }, api, {
      onSeek: (ms) => this.#playback.seek(ms), onScrub: (ms) => { this.#playback.hold(); this.#writeTime(ms); },
    });
    this.#boxes = new BoxDrawer(find('player-boxes'), () => this.#size(), (box, how) => this.#askLike(box, how));
    this.#others = new OtherCameras(find('player-others'), api, (camera) => this.#swap(camera));
    this.#timeline = mountTimeline(find('player-timeline'), this.#ctx, { most: 3, around: () => this.#around() });
    new Swipe(find('player-stage'), (by) => this.#next(by));
    this.#cover(true);
  }

  /** Take the keys, and what is behind the player out of reach. */
  #cover(on) {
    activate('player', on);
    document.documentElement.classList.toggle('player-open', on);
    for (const one of document.querySelectorAll('.skip, .top, .page, #review')) one.inert = on;
  }

  /** Take over what only the service knows of a moment that was opened by its id. */
  #learn({ id, mark = null, clock = '' }) {
    const mine = this.#moment;
    if (mine?.id === id && mine.score === null) this.#moment = { ...mine, mark: mine.mark ?? mark, clock: mine.clock || clock };
  }

  /** The camera, and the time around what is shown, for the timeline. */
  #around() {
    const { camera, start, end } = parseId(this.#moment.id), more = Math.max(AROUND, (end - start) * 2);
    return [camera, start - more, end + more];
  }

  #size() {
    const video = this.#element.querySelector('.player-video'), { image } = this.#part;
    return image.hidden && video.videoWidth ? [video.videoWidth, video.videoHeight] : [image.naturalWidth || 16, image.naturalHeight || 9];
  }

  #reach() {
    if (!this.#moment || !this.#playback) return;
    const { clip, camera, ms } = this.#playback, one = parseId(this.#moment.id);
    const held = one.camera === camera && clip && clip.start <= one.end && clip.end >= one.start;
    const [from, to] = held ? [one.start, one.end] : clip ? [clip.start, clip.end] : [ms ?? one.start, ms ?? one.end];
    this.#scrubber.reach(camera, this.#cut.from ?? from, Math.max(this.#cut.to ?? to, this.#cut.from ?? from));
    if (ms !== null) this.#scrubber.set(ms);
  }

  #tellTime(ms) {
    this.#writeTime(ms);
    this.#scrubber?.set(ms);
    movePlayhead(ms);
    this.#others?.at(this.#playback?.camera ?? parseId(this.#moment.id).camera, ms, this.#playback?.paused);
    this.#rest();
  }

  #writeTime(ms) {
    this.#part.time.textContent = preciseOf(ms);
    this.#part.day.textContent = dayOf(ms);
    this.#part.time.title = utcOf(ms);
  }

  /** Keep the time in the address while it rests, so that a link opens the same picture. */
  #rest() {
    const { paused, ms } = this.#playback ?? {};
    if (!paused || ms === null || this.#state.state === 'loading') return;
    this.#seenT = isoOf(ms);
    if (this.#ctx.store.get().t !== this.#seenT) this.#ctx.store.set({ t: this.#seenT }, { history: 'replace' });
  }

  #registerKeys() {
    const on = (key, action, label) => this.#stops.push(register('player', key, action, label));
    const go = () => this.#playback;
    on(' ', () => go().toggle(), text.keys.play);
    on('j', () => this.#next(1), t.keys.next);
    on('k', () => this.#next(-1), t.keys.previous);
    on('ArrowRight', () => go().skip(5000), text.keys.skip);
    on('ArrowLeft', () => go().skip(-5000));
    on('Shift+ArrowRight', () => go().skip(1000), text.keys.skipOne);
    on('Shift+ArrowLeft', () => go().skip(-1000));
    on('Ctrl+ArrowRight', () => go().skip(60_000), text.keys.skipMinute);
    on('Ctrl+ArrowLeft', () => go().skip(-60_000));
    on('.', () => go().step(1), text.keys.frame);
    on(',', () => go().step(-1));
    on('>', () => this.#speed(1), text.keys.speed);
    on('<', () => this.#speed(-1));
    on('i', () => this.#setCut('from'), text.keys.in);
    on('o', () => this.#setCut('to'), text.keys.out);
    on(']', () => this.#match(1), text.keys.match);
    on('[', () => this.#match(-1));
    for (let n = 1; n <= 9; n++) on(String(n), () => this.#nth(n), n === 1 ? text.keys.camera : '');
    on('m', () => this.#drawBox(), text.keys.more);
    on('y', () => this.#mark('keep'), t.review.keys.keep);
    on('n', () => this.#mark('dismiss'), t.review.keys.dismiss);
    on('x', () => toggleSelected(this.#moment.id), t.keys.select);
    on('e', () => this.#export(), text.keys.export);
    on('l', () => { copyLink(this.#ctx); }, t.review.keys.link);
    on('Escape', () => this.#escape(), text.keys.back);
  }

  #escape() {
    if (this.#panel) this.#show('');
    else this.#ctx.store.set({ open: '', t: '' });
  }

  #show(panel) {
    this.#panel = this.#panel === panel ? '' : panel;
    this.#draw();
  }

  #open(id, t = '') {
    if (id) this.#ctx.store.set({ open: id, t }, { history: 'replace' });
  }

  #next(by) {
    const i = this.#list.findIndex((one) => one.id === this.#moment.id);
    const next = this.#list[i < 0 ? 0 : i + by];
    if (next) this.#open(next.id);
    else this.#ctx.say(by > 0 ? text.last : text.first);
  }

  /** The next or previous match of this camera in time. */
  #match(by) {
    const { camera, ms } = this.#playback;
    const starts = this.#list.filter((one) => one.camera === camera).sort((a, b) => Date.parse(a.start) - Date.parse(b.start));
    const here = starts.findIndex((one) => one.id === this.#moment.id);
    const found = here >= 0 ? starts[here + by]
      : by > 0 ? starts.find((one) => Date.parse(one.start) > ms) : starts.findLast((one) => Date.parse(one.start) < ms);
    if (found) this.#open(found.id);
    else this.#ctx.say(by > 0 ? text.last : text.first);
  }

  #nth(n) {
    const camera = this.#ctx.store.get().cameras?.[n - 1]?.camera;
    if (camera && camera !== this.#playback.camera) this.#swap(camera);
  }

  #swap(camera) {
    const { target, paused } = this.#playback;
    this.#open(spanId(camera, target, target), paused ? isoOf(target) : '');
  }

  #speed(by) {
    this.#playback.stepSpeed(by);
    this.#draw();
  }

  #setCut(side) {
    this.#cut[side] = this.#playback.target;
    const { from, to } = this.#cut;
    if (from !== null && to !== null && to <= from) this.#cut[side === 'from' ? 'to' : 'from'] = null;
    this.#reach();
    this.#draw();
  }

  #drawBox() {
    this.#playback.pause();
    this.#boxes.start();
  }

  #askLike(box, how) {
    const { camera, ms } = this.#playback, { store } = this.#ctx, state = store.get();
    const term = `${camera}~${Math.round(ms * 1000)}@${box.map((one) => Number(one.toFixed(3))).join(',')}`;
    if (how === 'minus') store.set({ minus: [...state.minus, term], open: '', t: '', typing: false });
    else store.set({ typing: false, q: '', plus: [term], minus: [], pictures: [], camera: how === 'here' ? [camera] : [], mark: '', view: '', open: '', t: '' });
  }

  /** Set or take back a mark, or keep it with another note. */
  async #mark(mark, note) {
    const mine = this.#moment, again = note === undefined && markOf(mine)?.mark === mark;
    const done = await setMark(this.#ctx, mine, again ? '' : mark, note);
    if (done && this.#moment === mine) this.#moment = { ...mine, mark: done.mark };
    if (this.#playback) this.#draw();
  }

  #export() {
    const { from, to } = this.#cut, { camera, clip } = this.#playback;
    if (from !== null && to !== null) api.downloadClip(spanId(camera, from, to), { pad: 0, precise: 1 });
    else if (from !== null || to !== null) api.downloadClip(spanId(camera, from ?? clip.start, to ?? clip.end), { pad: 0, precise: 1 });
    else api.downloadClip(this.#moment.id);
    this.#ctx.say(text.downloading);
  }

  #draw() {
    const mine = this.#moment, { session } = this.#ctx.store.get();
    render(playerLayout({
      moment: mine, state: this.#state, playback: this.#playback, cut: this.#cut, panel: this.#panel, ctx: this.#ctx,
      mayReview: session?.role !== 'view', position: mine ? this.#list.findIndex((one) => one.id === mine.id) : -1, total: this.#list.length,
      act: {
        close: () => this.#ctx.store.set({ open: '', t: '' }), next: () => this.#next(1), previous: () => this.#next(-1),
        toggle: () => this.#playback.toggle(), step: (by) => this.#playback.step(by), skip: (by) => this.#playback.skip(by),
        speed: (event) => { this.#playback.speed = Number(event.target.value); event.target.blur(); this.#draw(); },
        box: () => this.#drawBox(), export: () => this.#export(), link: () => copyLink(this.#ctx),
        share: () => this.#show('share'), mark: (mark, note) => this.#mark(mark, note),
        uncut: () => { Object.assign(this.#cut, { from: null, to: null }); this.#reach(); this.#draw(); },
      },
    }), this.#element);
    if (this.#playback) this.#others.reserve(this.#ctx.store.get().cameras, this.#playback.camera);
  }
}
