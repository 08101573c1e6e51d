// Holds the one map of keys: who registers a key here is found by `?` and never clashes with typing.

const scopes = ['timeline', 'player', 'dialog', 'results', 'page']; // the first that is active and knows the key acts
const actions = new Map(scopes.map((scope) => [scope, new Map()]));
const active = new Set(['page', 'results']);

/**
 * Registers an action; returns what undoes it. `key` is a KeyboardEvent.key, with 'Ctrl+' or 'Shift+' before it.
 * `action(event)` returns false to let the key pass on. `typing` lets it act while one types in a field.
 */
export function register(scope, key, action, label = '', { typing = false } = {}) {
  const entry = { scope, key, action, label, typing };
  actions.get(scope).set(key, entry);
  return () => {
    if (actions.get(scope).get(key) === entry) actions.get(scope).delete(key);
  };
}

/** Switches a scope on or off: 'player' while it is open, 'dialog' while one is shown. */
export function activate(scope, on = true) {
  if (on) active.add(scope);
  else active.delete(scope);
}

/** All keys with a label: [{scope, key, label}], in the order of registration. */
export const listKeys = () => scopes.flatMap((scope) =>
  [...actions.get(scope).values()].filter((entry) => entry.label).map(({ key, label }) => ({ scope, key, label })));

const isTyping = (target) => target instanceof HTMLElement &&
  (target.isContentEditable || target.matches('textarea, select, input:not([type=checkbox], [type=radio], [type=button], [type=range])'));

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || /[a-z]/.test(key)) ? 'Shift+' : '';
  return (event.ctrlKey || event.metaKey ? 'Ctrl+' : '') + shift + key;
}

/** Does what a key means; returns whether anything took it. */
function act(event) {
  const name = nameOf(event);
  const typing = isTyping(event.target);
  const isModal = document.querySelector('dialog:modal') !== null;
  for (const scope of isModal ? ['dialog'] : scopes) {
    const entry = active.has(scope) && actions.get(scope).get(name);
    if (!entry || (typing && !entry.typing)) continue;
    if (entry.action(event) !== false) {
      event.preventDefault();
      return true;
    }
  }
  return false;
}

const MAX_EARLY = 20;
let early = []; // keys that came before the parts of the page that may know them; null once these are loaded

/** Does what was asked by key while parts of the page were still loading. */
export function release() {
  const waiting = early ?? [];
  early = null;
  waiting.forEach(act);
}

window.addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  if (!act(event) && early && early.length < MAX_EARLY && event.key !== 'Escape' && !isTyping(event.target)) early.push(event);
});
