// The menus beside the chips: cameras, time and review marks, for those who rather click than type.

import { html } from './vendor/lit-html/lit-html.js';
import { WEEKDAYS, daysLabel, zone } from './format.js';
import { icons } from './icons.js';
import { store } from './state.js';
import { text as t } from './strings.js';
import { understand } from './understand.js';

function menu(name, icon, content, active) {
  const leave = (event) => {
    if (event.relatedTarget && !event.currentTarget.contains(event.relatedTarget)) event.currentTarget.open = false;
  };
  return html`<details class="menu ${active ? 'active' : ''}" name="filters" @focusout=${leave}>
    <summary>${icon}${name}${icons.down}</summary><div class="sheet">${content}</div>
  </details>`;
}

/** Closes the menu that is open; returns whether there was one. */
export function closeMenus() {
  const open = document.querySelectorAll('details.menu[open]');
  for (const one of open) one.open = false;
  return open.length > 0;
}

window.addEventListener('click', (event) => {
  for (const one of document.querySelectorAll('details.menu[open]')) if (!one.contains(event.target)) one.open = false;
});

function cameraMenu(state) {
  const toggle = (name) => store.set({
    camera: state.camera.includes(name) ? state.camera.filter((one) => one !== name) : [...state.camera, name], typing: false,
  });
  return (state.cameras ?? []).map(({ camera }) => html`<label class="row">
    <input type="checkbox" .checked=${state.camera.includes(camera)} @change=${() => toggle(camera)}>${camera}</label>`);
}

const local = (iso) => {
  if (!iso) return '';
  const time = new Date(iso);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
};
const instant = (value) => (value ? new Date(value).toISOString().replace('.000Z', 'Z') : '');

function timeMenu(state) {
  const preset = (words) => {
    const { from, to } = understand(words, { now: Date.now(), zone, cameras: [] });
    store.set({ from, to, typing: false });
    closeMenus();
  };
  const clear = () => {
    store.set({ from: '', to: '', hours: '', days: '', typing: false });
    closeMenus();
  };
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const [from, to] = [instant(form.get('from')), instant(form.get('to'))];
    store.set(from && to && from > to ? { from: to, to: from, typing: false } : { from, to, typing: false });
    closeMenus();
  };
  return html`<div class="presets">${Object.entries(t.search.presets).map(([words, name]) => html`
      <button type="button" class="plain" @click=${() => preset(words)}>${name}</button>`)}
      <button type="button" class="plain" @click=${clear}>${t.search.anyTime}</button></div>
    <form class="span" @submit=${submit}>
      <label>${t.search.from}<input type="datetime-local" name="from" .value=${local(state.from)}></label>
      <label>${t.search.to}<input type="datetime-local" name="to" .value=${local(state.to)}></label>
      <button>${t.search.apply}</button>
    </form>`;
}

/** 'mon,tue' of 'mon-tue': each day by its name. */
function eachDay(days) {
  return days.split(',').filter(Boolean).flatMap((part) => {
    const [first, last = first] = part.trim().split('-').map((name) => WEEKDAYS.indexOf(name));
    return first < 0 || last < 0 ? [] : Array.from({ length: (last - first + 7) % 7 + 1 }, (_, i) => WEEKDAYS[(first + i) % 7]);
  });
}

function scheduleMenu(state) {
  const chosen = new Set(eachDay(state.days));
  const set = (patch) => store.set({ ...patch, typing: false });
  const toggle = (day) => {
    if (!chosen.delete(day)) chosen.add(day);
    set({ days: chosen.size === 7 ? '' : WEEKDAYS.filter((one) => chosen.has(one)).join(',') });
  };
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target), [first, last] = ['first', 'last'].map((name) => form.get(name));
    set({ hours: first && last && first !== last ? `${first}-${last}` : '' });
    closeMenus();
  };
  const [first = '', last = ''] = state.hours.split('-');
  const hour = (name, label, value, from) => html`<label>${label}<input type="number" name=${name} min=${from} max=${from + 23} .value=${value}></label>`;
  return html`<div class="presets">${Object.entries(t.search.schedules).map(([value, name]) => html`
      <button type="button" class="plain" @click=${() => { set(Object.fromEntries([value.split('=')])); closeMenus(); }}>${name}</button>`)}
      <button type="button" class="plain" @click=${() => { set({ hours: '', days: '' }); closeMenus(); }}>${t.search.always}</button></div>
    <fieldset class="days"><legend class="offscreen">${t.search.days}</legend>${WEEKDAYS.map((day) => html`
      <label><input type="checkbox" .checked=${chosen.has(day)} @change=${() => toggle(day)}><span>${daysLabel(day)}</span></label>`)}</fieldset>
    <form class="span hours" @submit=${submit}>
      ${hour('first', t.search.firstHour, first, 0)}${hour('last', t.search.lastHour, last, 1)}<button>${t.search.setHours}</button>
      <p class="hint">${t.search.serverZone(state.status?.zone ?? '')}</p>
    </form>`;
}

const markMenu = (state) => Object.entries(t.search.marks).map(([mark, name]) => html`<label class="row">
  <input type="radio" name="mark" .checked=${state.mark === mark} @change=${() => store.set({ mark, typing: false })}>${name}</label>`);

export const filtersView = (state) => html`<div class="filters">
  ${menu(t.search.cameras, icons.camera, cameraMenu(state), state.camera.length)}
  ${menu(t.search.time, icons.clock, timeMenu(state), state.from || state.to)}
  ${menu(t.search.schedule, icons.repeat, scheduleMenu(state), state.hours || state.days)}
  ${menu(t.search.mark, icons.star, markMenu(state), state.mark)}
</div>`;
