// Where deliveries go, and whether anybody is there.

import * as api from "../data/api.js";
import { count, duration } from "../parts/format.js";
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
            <th>latest error</th>
            <th class="number" title="since the first of these failures">for</th>
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
              <td class="cut" title=${one.error}>${one.error}</td>
              <td class="number">${one.failures ? duration(one.failing_s) : ""}</td>
              <td class="number">${count(one.in_flight)}</td>
              <td class="number">${count(one.waiting)}</td>
              <td>
                <a href=${link("hooks", "find", one.endpoint.split(" ")[0])} aria-label=${`Hooks of ${one.endpoint}`}
                  >show</a
                >
                ${one.circuit !== "closed" && html`<${Close} endpoint=${one.endpoint} />`}
              </td>
            </tr>`,
          )}
        </tbody>
      </table>`;

/** Sends requests to an endpoint again, without waiting for the pause of its circuit to end. */
function Close({ endpoint }) {
  const [problem, setProblem] = useState("");
  const close = () => api.closeCircuit(endpoint).catch((error) => setProblem(error.message));
  return html`<button type="button" title=${problem} aria-label=${`Close the circuit of ${endpoint}`} onClick=${close}>
    ${problem ? "not closed" : "close circuit"}
  </button>`;
}
