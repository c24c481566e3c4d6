// The fields of a form: each with its label, what helps, and what the server finds wrong with it.

import { html } from "../../parts/html.js";
import { Options } from "../../parts/widgets.js";

const described = (name, fault, help) =>
  [fault && `${name}-fault`, help && `${name}-help`].filter(Boolean).join(" ") || undefined;

const Row = ({ name, label, faults, help, children }) => html`<div class="field">
  <label for=${name}>${label}</label>
  ${children} ${help && html`<p id=${`${name}-help`} class="quiet">${help}</p>`}
  ${faults?.[name] && html`<p id=${`${name}-fault`} class="fault">${faults[name]}</p>`}
</div>`;

const shared = ({ name, faults, help, change, value, ...more }) => ({
  id: name,
  name,
  value,
  "aria-invalid": faults?.[name] ? "true" : undefined,
  "aria-describedby": described(name, faults?.[name], help),
  ...more,
});

export const Input = ({ label, ...more }) => html`<${Row} label=${label} ...${more}>
  <input type="text" autocomplete="off" spellcheck=${false} ...${shared(more)}
    onInput=${(event) => more.change(event.target.value)} />
<//>`;

export const Text = ({ label, ...more }) => html`<${Row} label=${label} ...${more}>
  <textarea class="mono" spellcheck=${false} ...${shared(more)}
    onInput=${(event) => more.change(event.target.value)}></textarea>
<//>`;

export const Select = ({ label, options, ...more }) => html`<${Row} label=${label} ...${more}>
  <select ...${shared(more)} onChange=${(event) => more.change(event.target.value)}>
    <${Options} value=${more.value} options=${options} />
  </select>
<//>`;

export const Check = ({ name, label, value, change }) => html`<label class="check">
  <input type="checkbox" name=${name} checked=${value} onChange=${(event) => change(event.target.checked)} />
  ${label}
</label>`;
