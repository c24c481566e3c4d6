// Short answers to what the operator did; they leave by themselves, errors later.

import { html } from "./html.js";
import { store, useStore } from "./store.js";

const notes = store([]);
let number = 0;

export function say(text, kind = "done") {
  const note = { number: ++number, text, kind };
  notes.set([...notes.get(), note].slice(-4));
  setTimeout(
    () => notes.set(notes.get().filter((other) => other !== note)),
    kind === "error" ? 12_000 : 5_000,
  );
}

/** Does it; says so if it fails. Whether it went well. */
export async function attempted(work) {
  try {
    await work();
    return true;
  } catch (problem) {
    say(problem.message, "error");
    return false;
  }
}

/** The same, and says when it is done. `done`: a text, or a function of what `work` gave. */
export const doing = (work, done) =>
  attempted(async () => {
    const result = await work();
    say(typeof done === "function" ? done(result) : done);
  });

export function Notes() {
  return html`<div class="notes" role="status" aria-live="polite">
    ${useStore(notes).map(
      (note) => html`<p key=${note.number} class=${`note note-${note.kind}`}>${note.text}</p>`,
    )}
  </div>`;
}
