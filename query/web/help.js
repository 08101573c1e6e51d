// Shows the whole key map in a dialog.

import { html, nothing } from './vendor/lit-html/lit-html.js';
import { icons } from './icons.js';
import * as keys from './keys.js';
import { store } from './state.js';
import { text as t } from './strings.js';

const nameOf = (key) => key.split('+').map((one) => t.keys.names[one] ?? (one.length === 1 ? one.toUpperCase() : one)).join(' + ') || '+';

const close = () => {
  keys.activate('dialog', false);
  store.set({ help: false }, { history: 'none' });
};

keys.register('dialog', 'Escape', close);
keys.register('dialog', '?', close);

export function helpView(state) {
  if (!state.help) return nothing;
  keys.activate('dialog');
  const all = keys.listKeys();
  const scopes = Object.entries(t.keys.scopes).map(([scope, name]) => [name, all.filter((one) => one.scope === scope)]);
  const outside = (event) => { if (event.target === event.currentTarget) close(); };
  return html`<div class="veil" @click=${outside}><section class="help" role="dialog" aria-modal="true" aria-labelledby="help-title">
    <header><h2 id="help-title">${t.keys.title}</h2><button type="button" class="ghost" autofocus aria-label=${t.app.close} @click=${close}>${icons.close}</button></header>
    <div class="maps">${scopes.filter(([, list]) => list.length).map(([name, list]) => html`<div><h3>${name}</h3><dl>${list.map((one) => html`
      <div><dt><kbd>${nameOf(one.key)}</kbd></dt><dd>${one.label}</dd></div>`)}</dl></div>`)}</div>
  </section></div>`;
}
