// Asks for a time in words or figures, and goes there on the timeline and in the player.

import { html, render } from './vendor/lit-html/lit-html.js';
import { activate, register } from './keys.js';
import { play } from './play-strings.js';

const text = play.goto;

/**
 * Register `G`. parse(words) gives milliseconds or null; go(ms) goes there. ctx = {say}.
 */
export function registerGoto(element, { parse, go }) {
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
