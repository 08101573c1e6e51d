// Lays out the player: picture, bar, controls, what is known of the moment, and what can be done with it.

import { html } from './vendor/lit-html/lit-html.js';
import { fullOf, lengthOf, percentOf, preciseOf, utcOf } from './format.js';
import { icons } from './icons.js';
import { text as t } from './strings.js';
import { SPEEDS } from './player-video.js';
import { markOf, reviewPanel } from './review.js';
import { sharePanel } from './share.js';

const text = t.player;

const button = (label, glyph, action, options = {}) => html`
  <button type="button" class="tool ${options.on ? 'on' : ''}" title=${options.key ? `${label} (${options.key})` : label}
    aria-label=${label} aria-pressed=${options.on === undefined ? null : String(options.on)}
    aria-keyshortcuts=${options.key ?? ''} ?disabled=${options.off} @click=${action}>${glyph}</button>`;

export function playerLayout(view) {
  const { moment, act } = view;
  return html`
    <section class="player" role="dialog" aria-label=${text.label} tabindex="-1">
      <header class="player-head">
        <h2>${moment?.camera}</h2>
        <p class="player-clock"><span class="player-day"></span> <time class="player-time"></time>
          <span class="player-source" title=${text.clockTitle}>${text.clocks[clockOf(view)] ?? ''}</span></p>
        <span class="player-place">${view.position < 0 ? '' : text.place(view.position + 1, view.total)}</span>
        ${button(t.keys.previous, icons.up, act.previous, { key: 'K', off: view.position <= 0 })}
        ${button(t.keys.next, icons.down, act.next, { key: 'J', off: view.position < 0 || view.position + 1 >= view.total })}
        ${button(t.app.close, icons.close, act.close, { key: 'Esc' })}
      </header>
      <div class="player-main">
        <div class="player-stage">
          <video class="player-video" playsinline preload="auto" @click=${act.toggle}></video>
          <img class="player-picture" alt="" hidden>
          <div class="player-boxes" hidden></div>
          ${message(view)}
        </div>
        <div class="player-scrub">
          <span class="player-part"></span>
          <input class="player-bar" type="range" min="0" max="1000" step="1" aria-label=${text.bar}>
        </div>
        ${controls(view)}
        <div class="player-timeline"></div>
        <div class="player-others"></div>
      </div>
      <aside class="player-side">${about(view)}${view.panel === 'share' ? sharePanel(view.ctx, moment) : reviewPanel(view)}</aside>
    </section>`;
}

const clockOf = ({ moment, state }) => state.clip?.clock || moment?.clock || '';

function controls({ act, playback, cut, state, mayReview, panel }) {
  const paused = playback?.paused ?? true;
  return html`<div class="player-controls" role="toolbar" aria-label=${text.controls}>
    ${button(text.back5, icons.back, () => act.skip(-5000), { key: '←' })}
    ${button(text.frameBack, icons.frameBack, () => act.step(-1), { key: ',' })}
    ${button(paused ? text.play : text.pause, paused ? icons.play : icons.pause, act.toggle, { key: text.space })}
    ${button(text.frameOn, icons.frameOn, () => act.step(1), { key: '.' })}
    ${button(text.on5, icons.forward, () => act.skip(5000), { key: '→' })}
    <label class="player-speed"><span class="offscreen">${text.speed}</span>
      <select title=${text.speedTitle} @change=${act.speed}>${SPEEDS.map((one) => html`
        <option value=${one} ?selected=${one === playback?.speed} .selected=${one === playback?.speed}>${one} ×</option>`)}</select></label>
    ${cut.from === null && cut.to === null ? '' : html`<button type="button" class="chip" @click=${act.uncut}
      title=${text.uncut}>${text.cut(cut.from && preciseOf(cut.from), cut.to && preciseOf(cut.to))} ${icons.close}</button>`}
    <span class="spacer"></span>
    ${state.state === 'pictures' ? html`<span class="hint">${text.picturesOnly}</span>` : ''}
    ${button(text.more, icons.box, act.box, { key: 'M' })}
    ${button(text.link, icons.link, act.link, { key: 'L' })}
    ${mayReview ? button(text.share, icons.out, act.share, { on: panel === 'share' }) : ''}
    ${mayReview ? button(t.app.clip, icons.download, act.export, { key: 'E' }) : ''}
  </div>`;
}

/** What is loading, what cannot be shown and why, and that something was re-encoded. */
function message({ state }) {
  if (state.state === 'loading') return html`<p class="player-note" role="status">${text.loading}</p>`;
  if (state.state === 'missing') {
    return html`<div class="player-missing" role="alert"><p>${state.message}</p>${state.hint ? html`<p class="hint">${state.hint}</p>` : ''}
      ${state.download ? html`<p><a class="button" href=${state.download} download>${text.download}</a></p>` : ''}</div>`;
  }
  if (state.clip?.recode && state.clip.transcoded) return html`<p class="player-note">${text.transcoded(state.clip.codec)}</p>`;
  return '';
}

function about({ moment }) {
  if (!moment) return '';
  const length = (Date.parse(moment.end) - Date.parse(moment.start)) / 1000;
  return html`<dl class="player-about">
    <dt>${text.start}</dt><dd title=${utcOf(moment.start)}>${fullOf(moment.start)}</dd>
    ${length ? html`<dt>${text.length}</dt><dd>${lengthOf(length)}</dd>` : ''}
    ${moment.score === null ? '' : html`<dt>${text.probability}</dt><dd>${percentOf(moment.score)}</dd>`}
    ${markOf(moment)?.by ? html`<dt>${text.marked}</dt><dd title=${utcOf(markOf(moment).at)}>${text.by(markOf(moment), fullOf(markOf(moment).at))}</dd>` : ''}
  </dl>`;
}
