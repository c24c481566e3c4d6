// One hook: what it is, its attempts, and what can be done with it.

import * as api from "../data/api.js";
import { confirmed } from "../parts/dialog.js";
import { html, useState } from "../parts/html.js";
import { useKeys } from "../parts/keys.js";
import { useAnswer } from "../parts/loading.js";
import { attempted, doing } from "../parts/notes.js";
import { go, link } from "../parts/route.js";
import { Facts, Problem } from "../parts/widgets.js";
import { mayChange } from "../data/session.js";
import { EditHook } from "./hook/form.js";
import { Secrets } from "./hook/secrets.js";
import { Statistics } from "./hook/statistics.js";
import { Attempts } from "./attempts.js";
import { HookState, Pause, Toggle } from "./hooks.js";
import { Tested } from "./tested.js";

const REFRESH_MS = 5000;

/** `more`: what the address says behind the hook: ["edit"], or ["attempts", …an id]. */
export function Hook({ account, id, more }) {
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
  const remove = async () => {
    const text = "It gets no events any more. Its deliveries that wait are cancelled.";
    if (!(await confirmed(`Delete ${hook.name ?? id}?`, text, "Delete"))) return;
    const done = () => api.deleteHook(account, id).then(() => go("hooks"));
    await doing(done, `${hook.name ?? id} is deleted.`);
  };
  if (more[0] === "edit") return hook ? html`<${EditHook} hook=${hook} />` : null;
  return html`
    <section class="panel page" aria-label="Hook">
      <header>
        <a href=${link("hooks")} aria-label="Back to the hooks">← Hooks</a>
        <h1 class="cut">${hook ? hook.name ?? id : id}</h1>
        ${hook && html`<${HookState} hook=${hook} />`}
        <span class="fill"></span>
        ${hook &&
        mayChange() &&
        html`<button type="button" onClick=${() => go("hooks", account, id, "edit")}>Edit</button>
          <button type="button" onClick=${cancel}>Cancel deliveries</button>
          <button type="button" disabled=${testing} onClick=${test}>Send a test</button>
          <${Pause} hook=${hook} done=${reload} />
          <${Toggle} hook=${hook} done=${reload} />
          <button type="button" class="danger" onClick=${remove}>Delete</button>`}
      </header>
      <${Problem} text=${problem} />
      ${hook?.disable_reason && html`<p class="reason">Disabled: ${hook.disable_reason}</p>`}
      ${hook && html`<${Facts} facts=${facts(hook)} />`}
    </section>
    <${Statistics} account=${account} hook=${id} />
    <${Secrets} account=${account} hook=${id} />
    <${Attempts} account=${account} hook=${id}
      open=${more[0] === "attempts" && more.length === 3 ? more.slice(1).join("/") : null} />
    ${tested && html`<${Tested} answer=${tested} close=${() => setTested(null)} />`}
  `;
}

const facts = (hook) => [
  ["uri", html`<span class="mono">${hook.uri}</span>`],
  ["event", hook.hook],
  ["request", [hook.http_verb ?? "post", hook.format ?? "form-data"].join(", ")],
  ["tries", hook.retries],
  ["retry policy", hook.retry_policy],
  ["filter", hook.filter && html`<span class="mono">${hook.filter}</span>`],
  ["transform", hook.transform && html`<span class="mono">${hook.transform}</span>`],
  ["custom data", hook.custom_data && JSON.stringify(hook.custom_data)],
  ["account", html`<span class="mono">${hook.account_id}</span>`],
  ["id", html`<span class="mono">${hook.id}</span>`],
];
