// The keys, for those who ask.

import { Dialog } from "../parts/dialog.js";
import { html } from "../parts/html.js";

const KEYS = [
  ["/", "Search in this view; Enter goes to the first row"],
  ["j k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["r", "Replay the open attempt"],
  ["Esc", "Close, or go back"],
  ["t", "Light or dark"],
  ["?", "This help"],
];

export const Help = ({ views, close }) => html`<${Dialog} title="Keys" close=${close}>
  <dl class="keys">
    ${[...views.map(([, title], i) => [String(i + 1), title]), ...KEYS].map(
      ([keys, what]) => html`<div key=${keys}>
        <dt>${keys.split(" ").map((key) => html`<kbd key=${key}>${key}</kbd>`)}</dt>
        <dd>${what}</dd>
      </div>`,
    )}
  </dl>
<//>`;
