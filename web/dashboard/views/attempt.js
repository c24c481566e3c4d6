// One attempt: what was sent, what came back. All of it is somebody else's text.

import * as api from "../data/api.js";
import { mayChange } from "../data/session.js";
import { curl } from "../parts/curl.js";
import { Dialog } from "../parts/dialog.js";
import { Exchange } from "../parts/exchange.js";
import { fromGregorian, milliseconds, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { useAnswer } from "../parts/loading.js";
import { doing } from "../parts/notes.js";
import { Copy, Facts, Problem, State } from "../parts/widgets.js";

/** `known`: the attempt, if it is in the list already. */
export function Attempt({ account, hook, id, known, close, replayed }) {
  const asked = useAnswer((signal) => known ?? api.attempt(account, hook, id, signal), [id]);
  const attempt = asked.value;
  const replay = async () => {
    await doing(() => api.replay(account, hook, id), "On its way again.");
    replayed();
  };
  const key = (press) =>
    press.key === "r" && !press.ctrlKey && !press.metaKey && mayChange() && replay();
  return html`<${Dialog} title="Attempt" close=${close} wide>
    <${Problem} text=${asked.problem} />
    ${attempt &&
    html`<div class="attempt" onKeyDown=${key}>
      <div class="bar">
        <${Result} attempt=${attempt} />
        <span>${time(fromGregorian(attempt.timestamp))}</span>
        <span class="quiet">${attempt.client_error ?? attempt.reason ?? ""}</span>
        <span class="fill"></span>
        <${Copy} text=${curl(attempt)} label="Copy as curl" />
        <${Copy} text=${location.href} label="Copy link" />
        ${mayChange() &&
        html`<button type="button" class="primary" autofocus onClick=${replay}>Replay</button>`}
      </div>
      <${Facts}
        facts=${[
          ["event", attempt.hook_event],
          ["event id", html`<span class="mono">${attempt.event_id}</span>`],
          ["reference", attempt.reference],
          ["took", milliseconds(attempt.duration_ms)],
          ["tries left", attempt.retries_left],
        ]}
      />
      <${Exchange}
        request=${{
          line: `${(attempt.method ?? "").toUpperCase()} ${attempt.uri ?? ""}`,
          headers: attempt.req_headers,
          body: attempt.req_body,
        }}
        response=${{
          line: attempt.resp_status_code ? `HTTP ${attempt.resp_status_code}` : "none came",
          headers: attempt.resp_headers,
          body: attempt.resp_body,
        }}
      />
    </div>`}
  <//>`;
}

export const Result = ({ attempt }) =>
  html`<${State} kind=${attempt.result === "success" ? "good" : "bad"}>${attempt.result}<//>`;
