// Asks for a time in words or figures, and goes there on the timeline and in the player.

import { html, render } from './vendor/lit-html/lit-html.js';
import { zone } from './format.js';
import { activate, register } from './keys.js';
import { text as t } from './strings.js';
import { findTime } from './timewords.js';

const text = t.goto;

/** Register `G`; go(ms) goes there. */
export function registerGoto(element, go) {
  const parse = (words) => {
    const found = findTime(words, { now: Date.now(), zone });
    return found ? found.at ?? found.from ?? found.to : null;
  };
  const close = () => {
    render('', element);
    activate('dialog', false);
  };
  const submit = (event) => {
    event.preventDefault();
    const field = event.target.elements.time, ms = parse(field.value);
    field.setCustomValidity(ms === null ? text.unknown : '');
    if (ms === null) return field.reportValidity();
    close();
    return go(ms);
  };
  const open = () => {
    const before = document.activeElement;
    activate('dialog');
    const leave = (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      event.stopPropagation();
      close();
      before?.focus?.();
    };
    render(html`<form class="goto" role="dialog" aria-label=${text.title} @submit=${submit} @keydown=${leave}>
      <label>${text.title}<input name="time" autocomplete="off" placeholder=${text.placeholder}
        @input=${(event) => event.target.setCustomValidity('')}></label>
      <button class="main">${text.go}</button><p class="hint">${text.hint}</p></form>`, element);
    element.querySelector('input').focus();
  };
  register('page', 'g', open, text.key);
  return open;
}
