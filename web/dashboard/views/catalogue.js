// The kinds of events that hooks may choose, as customers see them.

import * as api from "../data/api.js";
import { mayChange, session } from "../data/session.js";
import { pretty } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { useAnswer } from "../parts/loading.js";
import { link } from "../parts/route.js";
import { Field, Problem } from "../parts/widgets.js";

export function Catalogue() {
  const [text, setText] = useState("");
  const { value, problem, loading } = useAnswer((signal) => api.catalogue(signal), []);
  const wanted = text.toLowerCase();
  const found = (value ?? []).filter((kind) =>
    [kind.id, kind.name, kind.description].join("\n").toLowerCase().includes(wanted),
  );
  const mayAdd = session.get().account && mayChange();
  return html`<section class="panel page">
    <header>
      <h1>Events</h1>
      <${Field} label="Search" search value=${text} change=${setText} wide />
    </header>
    <${Problem} text=${problem} />
    <ul class="catalogue" aria-busy=${String(loading)}>
      ${found.map(
        (kind) => html`<li key=${kind.id} data-kind=${kind.id}>
          <div class="bar">
            <h2>${kind.name}</h2>
            <span class="mono quiet">${kind.id}</span>
            <span class="fill"></span>
            ${mayAdd && html`<a href=${link("hooks", "new", kind.id)}>New hook</a>`}
          </div>
          <p>${kind.description}</p>
          <${Payload} kind=${kind} />
        </li>`,
      )}
    </ul>
    ${found.length === 0 && !loading && !problem && html`<p class="none">No such event.</p>`}
  </section>`;
}

/** The schema and samples of a kind's payload, asked for when they are opened. */
function Payload({ kind }) {
  const [open, setOpen] = useState(false);
  const { value, problem, loading } = useAnswer(
    (signal) => (open ? api.samples(kind.id, signal) : null),
    [kind.id, open],
  );
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>Payload</summary>
    <${Problem} text=${problem} />
    ${kind.schema && html`<h3>Schema</h3><pre tabindex="0">${pretty(kind.schema)}</pre>`}
    ${(value ?? []).map((sample, i) => html`<h3>Sample</h3><pre key=${i} tabindex="0">${pretty(sample)}</pre>`)}
    ${open && !loading && value?.length === 0 && !kind.schema && html`<p class="quiet">No sample is known.</p>`}
  </details>`;
}
