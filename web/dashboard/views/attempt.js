// One attempt: what was sent, what came back. All of it is somebody else's text.

import * as api from "../data/api.js";
import { Dialog } from "../parts/dialog.js";
import { Exchange } from "../parts/exchange.js";
import { fromGregorian, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { doing } from "../parts/notes.js";
import { Facts, State } from "../parts/widgets.js";

export function Attempt({ account, hook, attempt, close, replayed }) {
  const replay = async () => {
    await doing(() => api.replay(account, hook, attempt.id), "On its way again.");
    replayed();
  };
  const key = (press) => press.key === "r" && !press.ctrlKey && !press.metaKey && replay();
  return html`<${Dialog} title="Attempt" close=${close} wide>
    <div class="attempt" onKeyDown=${key}>
      <div class="bar">
        <${Result} attempt=${attempt} />
        <span>${time(fromGregorian(attempt.timestamp))}</span>
        <span class="quiet">${attempt.client_error ?? attempt.reason ?? ""}</span>
        <span class="fill"></span>
        <button type="button" class="primary" autofocus onClick=${replay}>Replay</button>
      </div>
      <${Facts}
        facts=${[
          ["event", attempt.hook_event],
          ["event id", html`<span class="mono">${attempt.event_id}</span>`],
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
    </div>
  <//>`;
}

export const Result = ({ attempt }) =>
  html`<${State} kind=${attempt.result === "success" ? "good" : "bad"}>${attempt.result}<//>`;
