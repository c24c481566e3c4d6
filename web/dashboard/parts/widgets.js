// Small things that several views are made of.

import { html, useState } from "./html.js";
import { moveRow } from "./keys.js";
import { attempted } from "./notes.js";

export const State = ({ kind, children }) =>
  html`<span class=${`state state-${kind}`}>${children}</span>`;

export const Pager = ({ pages, next, children, label = "Pages" }) => html`<nav class="pager" aria-label=${label}>
  <span>${children}</span>
  <button type="button" disabled=${!pages.back} onClick=${pages.back}>← Newer</button>
  <span class="number">Page ${pages.number}</span>
  <button type="button" disabled=${!next} onClick=${() => pages.next(next)}>Older →</button>
</nav>`;

export const Problem = ({ text }) =>
  text ? html`<p class="problem" role="alert">${text}</p>` : null;

export const Choice = ({ label, value, options, change }) => html`<label class="choice">
  <span>${label}</span>
  <select value=${value} onChange=${(event) => change(event.target.value)}>
    ${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
  </select>
</label>`;

export const Field = ({ label, value, change, search, wide, ...more }) => html`<label
  class=${wide ? "choice wide" : "choice"}
>
  <span>${label}</span>
  <input
    type=${search ? "search" : "text"}
    data-search=${search ? "yes" : undefined}
    value=${value}
    autocomplete="off"
    spellcheck=${false}
    onInput=${(event) => change(event.target.value)}
    onKeyDown=${(press) => search && press.key === "Enter" && moveRow(1)}
    ...${more}
  />
</label>`;

/** Names and values as a list of pairs. */
export const Facts = ({ facts }) => html`<dl class="facts">
  ${facts
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(
      ([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`,
    )}
</dl>`;

/** A text that the button beside it copies. */
export function Copy({ text, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await attempted(() => navigator.clipboard.writeText(text));
    setCopied(true);
  };
  return html`<button type="button" onClick=${copy}>${copied ? "Copied" : label}</button>`;
}
