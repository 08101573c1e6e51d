// Lists the standing questions, adds and pauses them, and shows on the timeline what one would have found.

import { html } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { daysLabel, fullOf, hoursLabel } from './format.js';
import { alertList } from './live.js';
import { text as t } from './strings.js';
import * as backtest from './backtest.js';

const text = t.watches;

let watches = null, failure = '', adding = false, fault = '';

export async function enter(ctx) {
  ctx.store.set({ unseen: 0 }, { history: 'none' });
  try {
    ({ watches } = await api.watches());
    failure = '';
  } catch (error) {
    failure = api.explain(error);
  }
  ctx.store.set({}, { history: 'none' });
}

export function leave() {
  backtest.close();
}

export function view(state, ctx) {
  const admin = state.session?.role === 'admin';
  return html`<section class="panel watches">
    <h1>${text.title}</h1><p class="hint">${text.explain}</p>
    ${failure ? html`<p class="error" role="alert">${failure}</p>` : ''}
    ${watches && !watches.length && !adding ? html`<p>${text.none}</p>` : ''}
    <ul class="rows">${(watches ?? []).map((one) => row(one, ctx, admin))}</ul>
    ${!admin ? '' : adding ? form(state, ctx) : html`<button type="button" class="main" @click=${() => show(ctx, true)}>${text.add}</button>`}
    ${alertList(state, ctx)}
  </section>`;
}

function show(ctx, on) {
  [adding, fault] = [on, ''];
  ctx.store.set({}, { history: 'none' });
}

function row(watch, ctx, admin) {
  const change = (work) => async () => {
    try {
      await work();
    } catch (error) {
      ctx.say(api.explain(error));
    }
    await enter(ctx);
  };
  const open = backtest.isOpen(watch.name);
  return html`<li class="row watch ${watch.paused ? 'paused' : ''}">
    <div class="row-text"><strong>${watch.name}</strong> ${watch.paused ? html`<span class="state">${text.paused}</span>` : ''}
      <p>${watch.picture ? text.picture(watch.text) : `“${watch.text}”`}</p>
      <p class="hint">${[watch.cameras.join(', ') || text.allCameras, watch.hours && hoursLabel(watch.hours), watch.days && daysLabel(watch.days),
        text.threshold(watch.threshold), text.since(fullOf(watch.since)), watch.webhook].filter(Boolean).join(' · ')}</p>
      ${watch.undelivered ? html`<p class="error">${text.undelivered(watch.undelivered, watch.error)}</p>` : ''}</div>
    <button type="button" aria-expanded=${String(open)} @click=${() => backtest.toggle(watch, ctx)}>${text.test}</button>
    ${admin ? html`<button type="button" @click=${change(() => api.pauseWatch(watch.name, !watch.paused))}>${watch.paused ? text.resume : text.pause}</button>
      <button type="button" class="plain" @click=${change(() => api.removeWatch(watch.name))}>${text.remove}</button>` : ''}
    ${open ? backtest.panel(watch, ctx) : ''}</li>`;
}

function form(state, ctx) {
  const cameras = (state.cameras ?? []).map((one) => one.camera);
  return html`<form class="watch-form" @submit=${(event) => add(event, ctx)}>
    <h2>${text.add}</h2>
    <label>${text.name}<input name="name" required pattern="[\\w.\\-]{1,64}" placeholder="parcel" autocomplete="off"></label>
    <label>${text.text}<input name="text" required maxlength="1000" .value=${state.q} placeholder=${text.textPlaceholder} autocomplete="off"></label>
    <label>${text.cameras}<select name="cameras" multiple size=${Math.min(5, Math.max(2, cameras.length))}>${cameras.map((one) => html`
      <option value=${one} ?selected=${state.camera.includes(one)}>${one}</option>`)}</select><small class="hint">${text.camerasHint}</small></label>
    <label>${text.hoursLabel}<input name="hours" placeholder="22-6" maxlength="10" autocomplete="off"></label>
    <label>${text.days}<input name="days" placeholder="mon-fri" maxlength="40" autocomplete="off"></label>
    <label>${text.thresholdLabel}<input name="threshold" type="number" min="0.01" max="0.99" step="0.01" value="0.5"></label>
    ${fault ? html`<p class="error" role="alert">${fault}</p>` : ''}
    <div class="choices"><button class="main">${text.save}</button><button type="button" @click=${() => show(ctx, false)}>${text.cancel}</button></div>
  </form>`;
}

async function add(event, ctx) {
  event.preventDefault();
  const { elements } = event.target, value = (name) => elements[name].value.trim();
  try {
    await api.addWatch({
      name: value('name'), text: value('text'), hours: value('hours'), days: value('days'), threshold: Number(value('threshold')),
      cameras: [...elements.cameras.selectedOptions].map((one) => one.value),
    });
    ctx.say(text.added(value('name')));
    [adding, fault] = [false, ''];
    await enter(ctx);
  } catch (error) {
    fault = api.explain(error);
    ctx.store.set({}, { history: 'none' });
  }
}
