// One hook: what it is, its attempts, and what can be done with it.

import * as api from "../data/api.js";
import { confirmed } from "../parts/dialog.js";
import { html, useState } from "../parts/html.js";
import { useKeys } from "../parts/keys.js";
import { useAnswer } from "../parts/loading.js";
import { attempted, doing } from "../parts/notes.js";
import { go, link } from "../parts/route.js";
import { Facts, Problem } from "../parts/widgets.js";
import { Attempts } from "./attempts.js";
import { HookState, Pause, Toggle } from "./hooks.js";
import { Tested } from "./tested.js";
import { Waiting } from "./waiting.js";

const REFRESH_MS = 5000;

export function Hook({ account, id }) {
  const { value, problem, reload } = useAnswer(
    (signal) => api.hook(account, id, signal),
    [account, id],
    REFRESH_MS,
  );
  const [testing, setTesting] = useState(false);
  const [tested, setTested] = useState(null);
  useKeys({ Escape: () => go("hooks") });
  const hook = value && { ...value, account_id: account, id };
  const test = async () => {
    setTesting(true);
    await attempted(async () => setTested(await api.test(account, id)));
    setTesting(false);
  };
  const cancel = async () => {
    const text = "Its deliveries that have not ended are not sent any more. The hook stays as it is.";
    if (await confirmed("Cancel deliveries?", text, "Cancel deliveries"))
      await doing(() => api.cancelDeliveries(account, id), "Its deliveries up to now are cancelled.");
  };
  return html`
    <section class="panel page" aria-label="Hook">
      <header>
        <a href=${link("hooks")} aria-label="Back to the hooks">← Hooks</a>
        <h1 class="cut">${hook ? hook.name ?? id : id}</h1>
        ${hook && html`<${HookState} hook=${hook} />`}
        <span class="fill"></span>
        ${hook && html`<button type="button" onClick=${cancel}>Cancel deliveries</button>`}
        ${hook && html`<button type="button" disabled=${testing} onClick=${test}>Send a test</button>`}
        ${hook && html`<${Pause} hook=${hook} done=${reload} />`}
        ${hook && html`<${Toggle} hook=${hook} done=${reload} />`}
      </header>
      <${Problem} text=${problem} />
      ${hook?.disable_reason && html`<p class="reason">Disabled: ${hook.disable_reason}</p>`}
      ${hook && html`<${Facts} facts=${facts(hook)} />`}
    </section>
    <${Waiting} account=${account} hook=${id} />
    <${Attempts} account=${account} hook=${id} />
    ${tested && html`<${Tested} answer=${tested} close=${() => setTested(null)} />`}
  `;
}

const facts = (hook) => [
  ["uri", html`<span class="mono">${hook.uri}</span>`],
  ["event", hook.hook],
  ["request", [hook.http_verb ?? "post", hook.format ?? "form-data"].join(", ")],
  ["tries", hook.retries],
  ["retry policy", hook.retry_policy],
  ["custom data", hook.custom_data && JSON.stringify(hook.custom_data)],
  ["account", html`<span class="mono">${hook.account_id}</span>`],
  ["id", html`<span class="mono">${hook.id}</span>`],
];
