// Listens to the service's alerts and keeps the newest, so that every view shows them without a reload.

import { clockOf } from './format.js';
import { text as t } from './strings.js';

const MOST = 100;

/** Keep `alerts` in the state, newest first, while the page is open; `unseen` counts those since they were looked at. */
export function listen(ctx) {
  // the browser connects again by itself, and gets what it missed (Last-Event-ID)
  const source = new EventSource('/api/events');
  source.addEventListener('watch.fired', (event) => add(ctx, JSON.parse(event.data)));
  return { destroy: () => source.close() };
}

function add({ store, say }, alert) {
  const { alerts = [], unseen = 0 } = store.get();
  if (alerts.some((one) => one.id === alert.id)) return;
  store.set({ alerts: [alert, ...alerts].slice(0, MOST), unseen: unseen + 1 }, { history: 'none' });
  say(t.live.alert(alert, clockOf(alert.time)));
}
