// Small things that several views are made of.

import { count } from "./format.js";
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

/** {count, more} of all pages. */
export const Total = ({ counted }) =>
  counted && html`<span class="quiet">${counted.more ? "more than " : ""}${count(counted.count)}</span>`;

/** The head of a column by which rows are sorted. `change`: none if they cannot be. */
export function Sorted({ by, sort, change, children, ...more }) {
  if (!change) return html`<th ...${more}>${children}</th>`;
  const mine = sort.by === by;
  const order = mine ? (sort.ascending ? "ascending" : "descending") : undefined;
  return html`<th aria-sort=${order} ...${more}>
    <button type="button" class="sort" onClick=${() => change({ by, ascending: !mine || !sort.ascending })}>
      ${children} ${mine && (sort.ascending ? "▴" : "▾")}
    </button>
  </th>`;
}

export const Problem = ({ text }) =>
  text ? html`<p class="problem" role="alert">${text}</p>` : null;

/** Those of a choice; its value, too, if that is none of them, or is not yet. */
export const Options = ({ value, options }) => {
  const known = options.some(([key]) => key === value);
  return [...options, ...(known ? [] : [[value, value]])].map(
    ([key, text]) => html`<option key=${key} value=${key}>${text}</option>`,
  );
};

export const Choice = ({ label, value, options, change }) => html`<label class="choice">
  <span>${label}</span>
  <select value=${value} onChange=${(event) => change(event.target.value)}>
    <${Options} value=${value} options=${options} />
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
