// Dialogs: the browser's own, which keep the focus inside and close with Escape.

import { html, useEffect, useRef } from "./html.js";
import { store, useStore } from "./store.js";

export function Dialog({ title, close, children, wide = false }) {
  const element = useRef();
  useEffect(() => {
    element.current.showModal();
  }, []);
  return html`<dialog
    ref=${element}
    class=${wide ? "wide" : ""}
    aria-label=${title}
    onClose=${close}
    onClick=${(click) => click.target === element.current && element.current.close()}
  >
    <div class="dialog">
      <header>
        <h2>${title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick=${() => element.current.close()}>
          ✕
        </button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

const question = store(null);

/** Asks before something that cannot be taken back; whether the answer was yes. */
export const confirmed = (title, text, action) =>
  new Promise((resolve) => question.set({ title, text, action, resolve }));

export function Question() {
  const asked = useStore(question);
  if (!asked) return null;
  const answer = (yes) => {
    if (question.get() === asked) question.set(null);
    asked.resolve(yes);
  };
  return html`<${Dialog} title=${asked.title} close=${() => answer(false)}>
    <p>${asked.text}</p>
    <footer>
      <button type="button" autofocus onClick=${() => answer(false)}>Cancel</button>
      <button type="button" class="danger" onClick=${() => answer(true)}>${asked.action}</button>
    </footer>
  <//>`;
}
