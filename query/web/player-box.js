// Lets the person draw a box on the picture, by pointer or keys, and asks for more that looks like it.

import { html, render } from './vendor/lit-html/lit-html.js';
import { activate, register } from './keys.js';
import { text as t } from './strings.js';

const text = t.box;
const SMALLEST = 0.02; // of the picture's width and height
const MOVE = 0.02;

/**
 * Owns the layer over the picture. size() gives the picture's [width, height]; onChoose(box, how) gets the box as
 * [x0, y0, x1, y1] in 0..1, and 'here', 'all' or 'minus'.
 */
export class BoxDrawer {
  #layer; #size; #onChoose; #box = null; #from = null; #undo = []; #frame; #menu;

  constructor(layer, size, onChoose) {
    [this.#layer, this.#size, this.#onChoose] = [layer, size, onChoose];
    render(html`<div class="box-frame" hidden></div><div class="box-menu" hidden></div><p class="box-hint">${text.hint}</p>`, layer);
    [this.#frame, this.#menu] = layer.children;
    layer.addEventListener('pointerdown', (event) => this.#down(event));
    layer.addEventListener('pointermove', (event) => { if (this.#from) this.#draw(event); });
    layer.addEventListener('pointerup', (event) => this.#up(event));
    new ResizeObserver(() => this.#place()).observe(layer);
  }

  get active() { return !this.#layer.hidden; }

  /** Begin with a box in the middle for the keys; a pointer draws its own. */
  start() {
    if (this.active) return;
    this.#layer.hidden = false;
    this.#set([0.25, 0.25, 0.75, 0.75]);
    activate('dialog');
    const keys = { ArrowLeft: [-MOVE, 0], ArrowRight: [MOVE, 0], ArrowUp: [0, -MOVE], ArrowDown: [0, MOVE] };
    this.#undo = Object.entries(keys).flatMap(([key, [dx, dy]]) => [
      register('dialog', key, () => this.#nudge(dx, dy, false)),
      register('dialog', `Shift+${key}`, () => this.#nudge(dx, dy, true)),
    ]);
    for (const [key, how] of [['Enter', 'here'], ['h', 'here'], ['a', 'all'], ['w', 'minus']]) {
      this.#undo.push(register('dialog', key, () => this.#choose(how)));
    }
    this.#undo.push(register('dialog', 'Escape', () => this.stop()), register('dialog', 'm', () => this.stop()));
  }

  stop() {
    if (!this.active) return;
    this.#layer.hidden = true;
    this.#undo.forEach((undo) => undo());
    activate('dialog', false);
  }

  #choose(how) {
    const box = this.#box;
    this.stop();
    this.#onChoose(box, how);
  }

  /** Where the picture is within the layer: it keeps its shape. */
  #area() {
    const { clientWidth: w, clientHeight: h } = this.#layer, [width, height] = this.#size();
    const scale = Math.min(w / width, h / height) || 1;
    return { left: (w - width * scale) / 2, top: (h - height * scale) / 2, width: width * scale, height: height * scale };
  }

  #at(event) {
    const area = this.#area(), bounds = this.#layer.getBoundingClientRect();
    const part = (value, from, size) => Math.min(1, Math.max(0, (value - from) / size));
    return [part(event.clientX - bounds.left, area.left, area.width), part(event.clientY - bounds.top, area.top, area.height)];
  }

  #down(event) {
    if (this.#menu.contains(event.target)) return;
    this.#from = this.#at(event);
    this.#layer.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  #draw(event) {
    const [x, y] = this.#at(event), [x0, y0] = this.#from;
    this.#set([Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)], false);
  }

  #up(event) {
    if (!this.#from) return;
    this.#draw(event);
    this.#from = null;
    const [x0, y0, x1, y1] = this.#box;
    if (x1 - x0 < SMALLEST || y1 - y0 < SMALLEST) this.#set([0, 0, 1, 1]); // a click means the whole picture
    else this.#set(this.#box);
  }

  #nudge(dx, dy, resize) {
    const [x0, y0, x1, y1] = this.#box;
    const inside = (value) => Math.min(1, Math.max(0, value));
    if (resize) this.#set([x0, y0, Math.max(x0 + SMALLEST, inside(x1 + dx)), Math.max(y0 + SMALLEST, inside(y1 + dy))]);
    else if (x0 + dx >= 0 && x1 + dx <= 1 && y0 + dy >= 0 && y1 + dy <= 1) this.#set([x0 + dx, y0 + dy, x1 + dx, y1 + dy]);
  }

  #set(box, done = true) {
    this.#box = box;
    this.#frame.hidden = false;
    this.#menu.hidden = !done;
    if (done) {
      render(html`${['here', 'all', 'minus'].map((how) => html`
        <button type="button" title=${text.keys[how]} @click=${() => this.#choose(how)}>${text[how]}</button>`)}
        <button type="button" class="plain" @click=${() => this.stop()}>${text.cancel}</button>`, this.#menu);
    }
    this.#place();
  }

  #place() {
    if (!this.#box || this.#layer.hidden) return;
    const area = this.#area(), [x0, y0, x1, y1] = this.#box;
    const left = area.left + x0 * area.width, top = area.top + y0 * area.height;
    Object.assign(this.#frame.style, {
      left: `${left}px`, top: `${top}px`, width: `${(x1 - x0) * area.width}px`, height: `${(y1 - y0) * area.height}px`,
    });
    const below = area.top + y1 * area.height + 8, room = this.#layer.clientHeight - this.#menu.offsetHeight - 8;
    const most = this.#layer.clientWidth - this.#menu.offsetWidth - 8;
    Object.assign(this.#menu.style, { left: `${Math.max(8, Math.min(left, most))}px`, top: `${Math.max(8, Math.min(below, room))}px` });
  }
}
