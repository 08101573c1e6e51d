// Passes on the instant that the player shows, to whoever draws it: too often for the state of the page.

const listeners = new Set();

/** Call `listener(ms | null)` with each instant that is shown; returns what ends it. */
export function onPlayhead(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function movePlayhead(ms) {
  for (const listener of listeners) listener(ms);
}
