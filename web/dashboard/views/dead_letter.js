// One dead letter, with all that is known of it.

import * as api from "../data/api.js";
import { mayChange, session } from "../data/session.js";
import { Dialog } from "../parts/dialog.js";
import { fromGregorian, pretty, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { useAnswer } from "../parts/loading.js";
import { link } from "../parts/route.js";
import { Facts, Problem } from "../parts/widgets.js";

const SHOWN_ELSEWHERE = ["created", "reason", "body", "body_base64", "history", "kind"];

/** `retry`: sends it once more. */
export function DeadLetter({ letter, close, retry }) {
  const { value, problem } = useAnswer((signal) => api.deadLetter(letter.id, signal), [letter.id]);
  const { history = [], body, body_base64 } = value ?? {};
  const account = letter.account_id ?? session.get().account;
  return html`<${Dialog} title="Dead letter" close=${close} wide>
    <div class="bar">
      <p class="reason">${letter.reason}</p>
      <span class="fill"></span>
      ${account &&
      letter.hook_id &&
      html`<a href=${link("hooks", account, letter.hook_id)}>Its hook</a>`}
      ${mayChange() &&
      html`<button type="button" class="primary" autofocus onClick=${() => (close(), retry())}>Retry</button>`}
    </div>
    <${Problem} text=${problem} />
    <${Facts} facts=${[["when", time(fromGregorian(letter.created))], ["kind", letter.kind], ...facts(value ?? {})]} />
    ${history.length > 0 &&
    html`<h3>Tries</h3>
      <ol class="history">
        ${history.map(
          (entry, i) => html`<li key=${i}><time>${time(entry.at_ms / 1000)}</time> ${entry.outcome}</li>`,
        )}
      </ol>`}
    <h3>Body</h3>
    <pre tabindex="0">${pretty(body ?? body_base64 ?? "")}</pre>
  <//>`;
}

const facts = (document) =>
  Object.entries(document)
    .filter(([name]) => !name.startsWith("_") && !name.startsWith("pvt_"))
    .filter(([name]) => !SHOWN_ELSEWHERE.includes(name))
    .map(([name, value]) => [
      name.replaceAll("_", " "),
      html`<span class="mono">${typeof value === "string" ? value : JSON.stringify(value)}</span>`,
    ]);
