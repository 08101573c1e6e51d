// Listens to the service's alerts and keeps the newest, so that every view shows them without a reload.

const MOST = 100;

/** Keep `alerts` in the state while the page is open: newest first; `unseen` counts those since the list was looked at. */
export class AlertListener {
  #store; #source = null; #say;

  constructor(store, say) {
    [this.#store, this.#say] = [store, say];
  }

  /** Begin; the browser connects again by itself, and gets what it missed (Last-Event-ID). */
  start() {
    this.stop();
    this.#source = new EventSource('/api/events');
    this.#source.addEventListener('watch.fired', (event) => this.#add(event));
    this.#source.addEventListener('message', (event) => this.#add(event));
  }

  stop() {
    this.#source?.close();
    this.#source = null;
  }

  #add(event) {
    const alert = JSON.parse(event.data);
    if (alert.type !== 'watch.fired') return;
    const { alerts = [], unseen = 0 } = this.#store.get();
    if (alerts.some((one) => one.id === alert.id)) return;
    this.#store.set({ alerts: [alert, ...alerts].slice(0, MOST), unseen: unseen + 1 }, { history: 'none' });
    this.#say?.(alert);
  }
}
