// Shares a moment by a link that expires, and lists and revokes such links.

import { html } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { fullOf, utcOf } from './format.js';
import { bestFrame, parseId } from './moment-id.js';
import { text as t } from './strings.js';

const text = t.share;

const made = { moment: '', url: '', busy: false, error: '' }; // the secret is told once, and kept nowhere

/** The panel in the player that makes a link. */
export function sharePanel(ctx, moment) {
  if (made.moment !== moment.id) Object.assign(made, { moment: moment.id, url: '', error: '' });
  return html`<form class="share" @submit=${(event) => make(ctx, moment, event)}>
    <h3>${text.title}</h3><p class="hint">${text.explain}</p>
    ${made.url ? link(ctx) : html`
      <label>${text.expires}<select name="expires">${Object.keys(t.app.spans).map((one) => html`
        <option value=${one} ?selected=${one === '7d'}>${t.app.spans[one]}</option>`)}</select></label>
      <label>${text.note}<input name="note" maxlength="500" placeholder=${text.notePlaceholder} autocomplete="off"></label>
      <button class="main" ?disabled=${made.busy}>${text.make}</button>`}
    ${made.error ? html`<p class="error" role="alert">${made.error}</p>` : ''}
  </form>`;
}

function link(ctx) {
  return html`<label>${text.link}<input readonly class="mono" .value=${made.url} @focus=${(event) => event.target.select()}></label>
    <p class="hint">${text.once}</p>
    <button type="button" class="main" @click=${() => copy(ctx)}>${text.copy}</button>`;
}

async function copy(ctx) {
  await navigator.clipboard.writeText(made.url).then(() => ctx.say(t.app.copied), () => ctx.say?.(text.notCopied));
}

async function make(ctx, moment, event) {
  event.preventDefault();
  const { expires, note } = event.target.elements;
  Object.assign(made, { busy: true, error: '' });
  try {
    const share = await api.ofRecord(moment, (id) => api.addShare({ moment: id, expires: expires.value, note: note.value }));
    made.url = new URL(share.url, window.location.origin).href;
  } catch (error) {
    made.error = api.explain(error);
  }
  made.busy = false;
  ctx.store.set({}, { history: 'none' });
}

let shares = null, failure = '';

/** Get the list anew when its view is entered. */
export async function enter(ctx) {
  try {
    ({ shares } = await api.shares());
    failure = '';
  } catch (error) {
    failure = api.explain(error);
  }
  ctx.store.set({}, { history: 'none' });
}

/** The list of all links. */
export function view(state, ctx) {
  return html`<section class="panel shares"><h1>${text.list}</h1><p class="hint">${text.listExplain}</p>
    ${failure ? html`<p class="error" role="alert">${failure}</p>` : ''}
    ${shares && !shares.length ? html`<p>${text.none}</p>` : ''}
    <ul class="rows">${(shares ?? []).map((one) => row(one, ctx))}</ul></section>`;
}

function row(share, ctx) {
  const moment = parseId(share.moment), over = share.expires && Date.parse(share.expires) < Date.now();
  const revoke = async () => {
    try {
      await api.removeShare(share.id);
      ctx.say(text.revoked);
    } catch (error) {
      ctx.say(api.explain(error));
    }
    await enter(ctx);
  };
  return html`<li class="row">
    <button type="button" class="thumb" @click=${() => ctx.store.set({ open: share.moment, t: '' })} aria-label=${text.open}>
      <img src=${api.frameUrl(bestFrame(share.moment), { side: 120 })} alt="" width="128" height="72" loading="lazy"></button>
    <div class="row-text"><strong>${moment?.camera}</strong> <span title=${moment && utcOf(moment.start)}>${moment && fullOf(moment.start)}</span>
      <p class="hint">${text.by(share.by)} · <span title=${utcOf(share.expires)}>${over ? text.expired(fullOf(share.expires)) : text.until(fullOf(share.expires))}</span>${share.note ? ` · ${share.note}` : ''}</p></div>
    <button type="button" @click=${revoke}>${text.revoke}</button></li>`;
}
