// Where deliveries go, and whether anybody is there.

import { count } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { live } from "../data/live.js";
import { link } from "../parts/route.js";
import { useStore } from "../parts/store.js";
import { Field, State } from "../parts/widgets.js";

const KINDS = { open: "bad", "half-open": "busy", closed: "good" };

export function Endpoints() {
  const { now } = useStore(live);
  const [text, setText] = useState("");
  if (!now) return html`<p class="waiting quiet" role="status">Waiting for the first figures…</p>`;
  const found = now.endpoints.filter((one) => one.endpoint.includes(text.toLowerCase()));
  return html`<section class="panel page">
    <header>
      <h1>Endpoints</h1>
      <${Field} label="Search" search value=${text} change=${setText} wide />
      <span class="quiet">those in trouble first, then the busiest</span>
    </header>
    <${EndpointTable} endpoints=${found} />
  </section>`;
}

export const EndpointTable = ({ endpoints }) =>
  endpoints.length === 0
    ? html`<p class="none">None is busy or in trouble.</p>`
    : html`<table class="endpoints">
        <thead>
          <tr>
            <th>endpoint</th>
            <th>circuit</th>
            <th class="number" title="failures in a row">failures</th>
            <th class="number">in flight</th>
            <th class="number">waiting</th>
            <th>hooks</th>
          </tr>
        </thead>
        <tbody>
          ${endpoints.map(
            (one) => html`<tr key=${one.endpoint} data-endpoint=${one.endpoint} data-row tabindex="-1">
              <th scope="row" class="mono cut" title=${one.endpoint}>${one.endpoint}</th>
              <td><${State} kind=${KINDS[one.circuit] ?? "quiet"}>${one.circuit}<//></td>
              <td class=${one.failures ? "number bad" : "number"}>${count(one.failures)}</td>
              <td class="number">${count(one.in_flight)}</td>
              <td class="number">${count(one.waiting)}</td>
              <td><a href=${link("hooks", "find", one.endpoint)} aria-label=${`Hooks of ${one.endpoint}`}>show</a></td>
            </tr>`,
          )}
        </tbody>
      </table>`;
