// The attempts of a hook, the latest first; new ones appear by themselves on the first page.

import * as api from "../data/api.js";
import { fromGregorian, milliseconds, time } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { rowKeys } from "../parts/keys.js";
import { useAnswer, usePages, useSettled } from "../parts/loading.js";
import { go } from "../parts/route.js";
import { Choice, Field, Pager, Problem } from "../parts/widgets.js";
import { Attempt, Result } from "./attempt.js";
import { Waiting } from "./waiting.js";

const OUTCOMES = [
  ["", "all"],
  ["failure", "failed"],
  ["success", "succeeded"],
  ["cancelled", "cancelled"],
];
const REFRESH_MS = 2000;
/** A search may make the server read many attempts. */
const REFRESH_SEARCH_MS = 30_000;

/** Without a `hook`, those of all hooks. `open`: the id of the attempt that the address names. */
export function Attempts({ account, hook, open }) {
  const [outcome, setOutcome] = useState("");
  const [status, setStatus] = useState("");
  const [typed, setText] = useState("");
  const text = useSettled(typed.trim());
  const show = ({ hook_id, id }) => go("hooks", account, hook ?? hook_id, "attempts", ...id.split("/"));
  const pages = usePages([hook, outcome, status, text]);
  const { value, problem, loading, reload } = useAnswer(
    (signal) => api.attempts(account, hook, { outcome, status, text, after: pages.key }, signal),
    [account, hook, outcome, status, text, pages.key],
    pages.back ? 0 : text ? REFRESH_SEARCH_MS : REFRESH_MS,
  );
  const found = value?.attempts ?? [];
  return html`<${Waiting} account=${account} hook=${hook} text=${text} />
  <section class="panel page" aria-label="Attempts">
    <header>
      ${hook ? html`<h2>Attempts</h2>` : html`<h1>Deliveries</h1>`}
      <${Field} label="Event" search wide value=${typed} change=${setText} placeholder="its id, reference, or text in it" />
      <${Choice} label="Outcome" value=${outcome} options=${OUTCOMES} change=${setOutcome} />
      <${Field} label="HTTP status" value=${status} change=${setStatus} size="5" inputmode="numeric" />
      <span class="fill"></span>
      <button type="button" onClick=${reload}>Refresh</button>
    </header>
    <${Problem} text=${problem} />
    <table class="attempts" aria-busy=${String(loading)}>
      <thead>
        <tr>
          <th>when</th>
          <th>outcome</th>
          <th class="number">HTTP</th>
          <th>event</th>
          <th>reason</th>
          <th class="wide-only">event id, reference</th>
          <th class="number">took</th>
          <th class="number">tries left</th>
        </tr>
      </thead>
      <tbody>
        ${found.map(
          (attempt) => html`<tr
            key=${attempt.id}
            data-row
            data-attempt=${attempt.id ?? ""}
            tabindex="0"
            aria-label=${`Attempt, ${attempt.result}`}
            onClick=${() => show(attempt)}
            onKeyDown=${rowKeys(() => show(attempt))}
          >
            <td class="when">${time(fromGregorian(attempt.timestamp))}</td>
            <td><${Result} attempt=${attempt} /></td>
            <td class="number">${attempt.resp_status_code ?? "–"}</td>
            <td>${attempt.hook_event}</td>
            <td class="cut">${attempt.client_error ?? attempt.reason ?? ""}</td>
            <td class="mono cut wide-only">${[attempt.event_id, attempt.reference].filter(Boolean).join(", ")}</td>
            <td class="number">${milliseconds(attempt.duration_ms)}</td>
            <td class="number">${attempt.retries_left ?? ""}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    ${found.length === 0 && !loading && html`<p class="none">${text || outcome || status ? "No such attempt." : "No attempts."}</p>`}
    <${Pager} pages=${pages} next=${value?.next} />
    ${open &&
    html`<${Attempt} key=${open} account=${account} hook=${hook} id=${open}
      known=${found.find((attempt) => attempt.id === open)}
      close=${() => go("hooks", account, hook)} replayed=${reload} />`}
  </section>`;
}
