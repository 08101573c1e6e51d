// Asks for a token, and lets one log out.

import { html, nothing } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { store } from './state.js';
import { text as t } from './strings.js';

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const field = form.elements.token;
  try {
    await api.logIn(field.value.trim());
    field.value = '';
    store.set({ loginError: '', session: await api.session() }, { history: 'none' });
  } catch (error) {
    store.set({ loginError: error.status === 401 ? t.login.wrong : error.message, session: null }, { history: 'none' });
    field.select();
  }
}

/** What is left of the state when a session has ended: whoever logs in next may see other cameras. */
export const LOGGED_OUT = { session: null, status: null, cameras: null, answer: null, error: null, selected: new Set(), alerts: [], unseen: 0 };

/** End the session; where the service does not answer it goes on, and that is told. */
export async function logOut() {
  try {
    await api.logOut();
    store.set({ ...LOGGED_OUT, open: '' }, { history: 'none' });
  } catch (error) {
    store.set({ error }, { history: 'none' });
  }
}

export const loginView = (state) => html`<main class="login"><form @submit=${submit}>
  <h1>${t.login.title}</h1><p>${t.login.hint}</p>
  <label>${t.login.token}<input type="password" name="token" autocomplete="current-password" required autofocus aria-describedby="login-error"></label>
  <p class="error" id="login-error" role="alert">${state.loginError ?? nothing}</p>
  <button class="main">${t.login.submit}</button>
</form></main>`;
