// The secrets that sign a hook's deliveries: a new one is shown once.

import * as api from "../../data/api.js";
import { mayChange } from "../../data/session.js";
import { confirmed, Dialog } from "../../parts/dialog.js";
import { fromGregorian, time } from "../../parts/format.js";
import { html, useState } from "../../parts/html.js";
import { useAnswer } from "../../parts/loading.js";
import { attempted, doing } from "../../parts/notes.js";
import { Copy, Problem } from "../../parts/widgets.js";

const KINDS = [
  ["hmac-sha256", "Shared secret (HMAC-SHA256)"],
  ["ed25519", "Key pair (Ed25519)"],
];
const DAY_S = 86_400;

export function Secrets({ account, hook }) {
  const { value, problem, reload } = useAnswer((signal) => api.secrets(account, hook, signal), [account, hook]);
  const [adding, setAdding] = useState(false);
  const [added, setAdded] = useState(null);
  const found = value ?? [];
  const add = (kind, expiresIn) =>
    attempted(async () => {
      setAdded(await api.addSecret(account, hook, kind, expiresIn));
      setAdding(false);
      reload();
    });
  const retire = async (fingerprint) => {
    const text = "Deliveries are no longer signed with it. It cannot be shown or used again.";
    if (!(await confirmed(`Retire ${fingerprint}?`, text, "Retire"))) return;
    await doing(() => api.retireSecret(account, hook, fingerprint), `${fingerprint} is retired.`);
    reload();
  };
  return html`<section class="panel page" aria-label="Secrets">
    <header>
      <h2>Secrets</h2>
      <span class="fill"></span>
      ${mayChange() &&
      html`<button type="button" onClick=${() => setAdding(true)}>
        ${found.length ? "Rotate" : "Sign deliveries"}
      </button>`}
    </header>
    <${Problem} text=${problem} />
    ${found.length > 0 &&
    html`<table class="secrets">
      <thead>
        <tr>
          <th>fingerprint</th>
          <th>kind</th>
          <th class="wide-only">since</th>
          <th>until</th>
          <th><span class="unseen">actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${found.map(
          (secret) => html`<tr key=${secret.fingerprint}>
            <th scope="row" class="mono">${secret.fingerprint}</th>
            <td>${secret.kind}</td>
            <td class="wide-only">${time(fromGregorian(secret.since))}</td>
            <td>${secret.until ? time(fromGregorian(secret.until)) : "retired by hand"}</td>
            <td class="actions">
              ${mayChange() &&
              html`<button type="button" onClick=${() => retire(secret.fingerprint)}>Retire</button>`}
            </td>
          </tr>`,
        )}
      </tbody>
    </table>`}
    ${found.length === 0 && value && html`<p class="none">Deliveries are not signed.</p>`}
    ${adding && html`<${Adding} rotates=${found.length > 0} add=${add} close=${() => setAdding(false)} />`}
    ${added && html`<${Added} added=${added} close=${() => setAdded(null)} />`}
  </section>`;
}

function Adding({ rotates, add, close }) {
  const submit = (event) => {
    event.preventDefault();
    const chosen = new FormData(event.target);
    add(chosen.get("kind"), rotates && Number(chosen.get("expires")));
  };
  return html`<${Dialog} title=${rotates ? "Rotate the secret" : "Sign deliveries"} close=${close}>
    <form class="fields" onSubmit=${submit}>
      <div class="field">
        <label for="kind">Kind</label>
        <select id="kind" name="kind">
          ${KINDS.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
        </select>
      </div>
      ${rotates &&
      html`<div class="field">
        <label for="expires">The secrets of now end</label>
        <select id="expires" name="expires">
          <option value=${DAY_S}>in a day</option>
          <option value="3600">in an hour</option>
          <option value=${7 * DAY_S}>in a week</option>
          <option value="0">when they are retired</option>
        </select>
      </div>`}
      <footer>
        <button type="button" onClick=${close}>Cancel</button>
        <button class="primary">Make a secret</button>
      </footer>
    </form>
  <//>`;
}

const Added = ({ added, close }) => html`<${Dialog} title="The new secret" close=${close}>
  <p>
    ${added.secret
      ? "Copy it to the receiver now. It is not shown again."
      : "The receiver verifies signatures with this public key."}
  </p>
  <pre tabindex="0">${added.secret ?? added.public_key}</pre>
  <footer>
    <${Copy} text=${added.secret ?? added.public_key} label="Copy" />
    <button type="button" class="primary" onClick=${close}>Done</button>
  </footer>
<//>`;
