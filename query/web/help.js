// Shows the whole key map in a dialog.

import { html } from './vendor/lit-html/lit-html.js';
import { icons } from './icons.js';
import * as keys from './keys.js';
import { store } from './state.js';
import { text as t } from './strings.js';

const nameOf = (key) => key.split('+').map((one) => t.keys.names[one] ?? (one.length === 1 ? one.toUpperCase() : one)).join(' + ') || '+';

keys.register('dialog', '?', () => dialog()?.close());

let isShown = false;

const dialog = () => document.getElementById('help');

/** Shows or hides the dialog as the state says; the browser keeps focus and Escape inside it. */
export function showHelp(state) {
  if (!state.help || isShown) return;
  isShown = true;
  dialog().showModal();
  keys.activate('dialog');
}

const closed = () => {
  isShown = false;
  keys.activate('dialog', false);
  store.set({ help: false }, { history: 'none' });
};

export function helpView() {
  const all = keys.listKeys();
  const scopes = Object.entries(t.keys.scopes).map(([scope, name]) => [name, all.filter((one) => one.scope === scope)]);
  const outside = (event) => { if (event.target === event.currentTarget) event.currentTarget.close(); };
  return html`<dialog id="help" class="help" aria-labelledby="help-title" @close=${closed} @click=${outside}>
    <header><h2 id="help-title">${t.keys.title}</h2><button type="button" class="ghost" aria-label=${t.app.close} @click=${() => dialog().close()}>${icons.close}</button></header>
    <div class="maps">${scopes.filter(([, list]) => list.length).map(([name, list]) => html`<div><h3>${name}</h3><dl>${list.map((one) => html`
      <div><dt><kbd>${nameOf(one.key)}</kbd></dt><dd>${one.label}</dd></div>`)}</dl></div>`)}</div>
  </dialog>`;
}
