// Turns what was kept and dismissed into a better question, and shows what it changes before it is taken.

import { html } from './vendor/lit-html/lit-html.js';
import * as api from './api.js';
import { blobsOf, isQuestion, paramsOf, unweighted } from './ask.js';
import { clockOf, dayOf, percentOf } from './format.js';
import { markOf } from './review.js';
import { text as t } from './strings.js';

const text = t.tune;
const TERMS = 8; // that a question may have, see query/scoring/expression.py
const EXAMPLES = 3; // of each kind at most
const KEPT = 0.75; // weight of all kept together, as Rocchio's feedback weighs them (Manning et al. 2008, 9.1.1)
const SHOWN = 60; // moments that are compared

let plan = null; // {key, plus, minus, before, after, changes, error}

const frameOf = (moment) => moment.best.frame;

/** The best kept and dismissed moments of an answer, as terms. */
function examplesOf(state) {
  const marked = (mark) => (state.answer?.moments ?? []).filter((one) => markOf(one)?.mark === mark)
    .sort((a, b) => (b.score ?? 0) - (a.score ?? 0));
  const mine = new Set([...state.plus, ...state.minus].map(unweighted));
  const room = TERMS - (state.q ? 2 : 0) - state.plus.length - state.minus.length - state.pictures.length;
  const fresh = (mark) => marked(mark).map(frameOf).filter((id) => !mine.has(id)).slice(0, EXAMPLES);
  const kept = fresh('keep').slice(0, Math.max(0, room));
  return { kept, dismissed: fresh('dismiss').slice(0, Math.max(0, room - kept.length)) };
}

/** Ask the tuned question beside the present one. */
async function propose(ctx) {
  const state = ctx.store.get(), { kept, dismissed } = examplesOf(state);
  const weight = (KEPT / Math.max(1, kept.length)).toFixed(2);
  plan = {
    busy: true, kept, dismissed, mark: state.mark, before: state.answer.moments.slice(0, SHOWN),
    plus: [...state.plus, ...kept.map((id) => `${weight}*${id}`)], minus: [...state.minus, ...dismissed],
  };
  const mine = plan;
  ctx.store.set({ tuning: true }, { history: 'none' });
  try {
    const asked = { ...paramsOf({ ...state, plus: plan.plus, minus: plan.minus }), limit: SHOWN };
    const answer = await api.search(asked, blobsOf(state.pictures));
    mine.changes = compare(mine.before, answer.moments);
  } catch (error) {
    mine.error = api.explain(error);
  }
  mine.busy = false;
  ctx.store.set({}, { history: 'none' });
}

/** What a new answer adds, what it no longer has, and what stands elsewhere in it; moments that overlap are the same. */
function compare(before, after) {
  const same = (a, b) => a.camera === b.camera && a.start <= b.end && b.start <= a.end;
  const was = after.map((one) => before.findIndex((old) => same(old, one)));
  return {
    added: after.filter((_, i) => was[i] < 0),
    gone: before.filter((_, i) => !was.includes(i)),
    moved: after.map((one, i) => ({ moment: one, by: was[i] - i })).filter((one, i) => was[i] >= 0 && one.by !== 0),
    same: after.filter((_, i) => was[i] === i).length,
  };
}

function take(ctx) {
  const { plus, minus } = plan;
  leave(ctx);
  ctx.store.set({ plus, minus, sort: 'score', typing: false });
}

function leave(ctx) {
  plan = null;
  ctx.store.set({ tuning: false }, { history: 'none' });
}

/** Above the results: the offer to tune, then the comparison until it is taken or left. */
export function tuneView(state, ctx) {
  if (state.view || !isQuestion(state)) return '';
  if (state.tuning && plan) return comparison(ctx);
  const { kept, dismissed } = examplesOf(state);
  if (!kept.length && !dismissed.length) return '';
  return html`<p class="tune-offer"><button type="button" @click=${() => propose(ctx)}>${text.button(kept.length + dismissed.length)}</button>
    <span class="hint">${text.explain(kept.length, dismissed.length)}</span></p>`;
}

function comparison(ctx) {
  const { changes } = plan;
  return html`<section class="panel tune" aria-label=${text.title} aria-live="polite">
    <h2>${text.title}</h2>
    <p class="hint">${text.explain(plan.kept.length, plan.dismissed.length)}</p>
    ${plan.busy ? html`<p role="status">${text.asking}</p>` : ''}
    ${plan.error ? html`<p class="error" role="alert">${plan.error}</p>` : ''}
    ${changes ? html`
      ${group(text.added(changes.added.length), changes.added, ctx, 'added')}
      ${group(text.gone(changes.gone.length), changes.gone, ctx, 'gone')}
      ${group(text.moved(changes.moved.length), changes.moved.map((one) => ({ ...one.moment, by: one.by })), ctx, 'moved')}
      <p class="hint">${text.same(changes.same)}</p>` : ''}
    <div class="choices">
      <button type="button" class="main" ?disabled=${!changes} @click=${() => take(ctx)}>${text.take}</button>
      <button type="button" @click=${() => leave(ctx)}>${text.leave}</button></div></section>`;
}

function group(title, moments, ctx, kind) {
  if (!moments.length) return '';
  return html`<h3>${title}</h3><ul class="strip ${kind}">${moments.slice(0, 12).map((one) => html`<li>
    <button type="button" class="thumb" @click=${() => ctx.store.set({ open: one.id, t: '' })}>
      <img src=${api.frameUrl(frameOf(one), { side: 120 })} alt="" width="128" height="72" loading="lazy">
      <span>${one.camera}</span><span>${dayOf(one.start)} ${clockOf(one.start)}</span>
      <span class="hint">${percentOf(one.score)}${one.by ? ` · ${text.by(one.by)}` : ''}</span></button></li>`)}</ul>`;
}
