// What came of a test delivery.

import { Dialog } from "../parts/dialog.js";
import { Exchange } from "../parts/exchange.js";
import { milliseconds } from "../parts/format.js";
import { html } from "../parts/html.js";
import { State } from "../parts/widgets.js";

export const Tested = ({ answer, close }) => html`<${Dialog} title="Test delivery" close=${close} wide>
  <div class="bar">
    <${State} kind=${answer.succeeded ? "good" : "bad"}>${answer.succeeded ? "success" : "failure"}<//>
    <span>${milliseconds(answer.duration_s * 1000)}</span>
    <span class="quiet">${[answer.error, answer.detail].filter(Boolean).join(": ")}</span>
  </div>
  <${Exchange}
    request=${{
      line: `${answer.method} ${answer.url}`,
      headers: answer.request_headers,
      body: answer.request_body,
    }}
    response=${{
      line: answer.status ? `HTTP ${answer.status}` : "none came",
      headers: answer.response_headers,
      body: answer.response_body,
    }}
  />
<//>`;
