// All hooks, a page at a time: however many there are, the server looks for what is wanted.

import * as api from "../data/api.js";
import { confirmed } from "../parts/dialog.js";
import { html, useState } from "../parts/html.js";
import { rowKeys } from "../parts/keys.js";
import { useAnswer, usePages, useSettled } from "../parts/loading.js";
import { doing } from "../parts/notes.js";
import { go } from "../parts/route.js";
import { mayChange, session } from "../data/session.js";
import { useStore } from "../parts/store.js";
import { Choice, Field, Pager, Problem, State } from "../parts/widgets.js";

const STATES = [
  ["", "all"],
  ["true", "enabled"],
  ["false", "disabled"],
];
const REFRESH_MS = 5000;
/** A search may make the server look at all hooks there are. */
const REFRESH_SEARCH_MS = 30_000;

export function Hooks() {
  const everybody = useStore(session).account === undefined;
  const [typed, setText] = useState("");
  const [typedAccount, setAccount] = useState("");
  const [state, setState] = useState("");
  const text = useSettled(typed);
  const account = useSettled(typedAccount);
  const pages = usePages([text, account, state]);
  const { value, problem, loading, reload } = useAnswer(
    (signal) => api.hooks({ uri: text, account, enabled: state, after: pages.key }, signal),
    [text, account, state, pages.key],
    text ? REFRESH_SEARCH_MS : REFRESH_MS,
  );
  const found = value?.hooks ?? [];
  return html`<section class="panel page">
    <header>
      <h1>Hooks</h1>
      ${!everybody &&
      mayChange() &&
      html`<button type="button" class="primary" onClick=${() => go("hooks", "new")}>New hook</button>`}
      ${everybody &&
      html`<${Field} label="Search" search wide value=${typed} change=${setText} placeholder="part of the uri" />
        <${Field} label="Account" value=${typedAccount} change=${setAccount} />
        <${Choice} label="State" value=${state} options=${STATES} change=${setState} />`}
    </header>
    <${Problem} text=${problem} />
    <table class="hooks" aria-busy=${String(loading)}>
      <thead>
        <tr>
          <th>state</th>
          <th>name</th>
          <th>event</th>
          <th>uri</th>
          ${everybody && html`<th class="wide-only">account</th>`}
          <th><span class="unseen">actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${found.map(
          (hook) => html`<${Row} key=${hook.id} hook=${hook} everybody=${everybody} reload=${reload} />`,
        )}
      </tbody>
    </table>
    ${found.length === 0 && !loading && !problem && html`<p class="none">${text || account || state ? "No such hook." : "No hooks yet."}</p>`}
    <${Pager} pages=${pages} next=${value?.next}>${loading ? "loading…" : ""}<//>
  </section>`;
}

function Row({ hook, everybody, reload }) {
  const open = () => go("hooks", hook.account_id, hook.id);
  return html`<tr
    data-row
    data-hook=${hook.id}
    tabindex="0"
    aria-label=${`Hook ${hook.name ?? hook.id}`}
    onClick=${open}
    onKeyDown=${rowKeys(open)}
  >
    <td><${HookState} hook=${hook} /></td>
    <th scope="row" class="cut">
      ${hook.name ?? html`<span class="quiet">no name</span>`}
      ${hook.disable_reason && html`<span class="reason">${hook.disable_reason}</span>`}
    </th>
    <td>${hook.hook}</td>
    <td class="mono cut" title=${hook.uri}>${hook.uri}</td>
    ${everybody && html`<td class="mono cut wide-only" title=${hook.account_id}>${hook.account_id}</td>`}
    <td class="actions">${mayChange() && html`<${Toggle} hook=${hook} done=${reload} />`}</td>
  </tr>`;
}

export function HookState({ hook }) {
  if (hook.enabled === false)
    return html`<${State} kind=${hook.disable_reason ? "bad" : "quiet"}>disabled<//>`;
  return hook.paused
    ? html`<${State} kind="quiet">paused<//>`
    : html`<${State} kind="good">enabled<//>`;
}

export const Toggle = ({ hook, done }) =>
  hook.enabled === false
    ? html`<${Change} hook=${hook} done=${done} fields=${{ enabled: true }} text="Enable" is="enabled" />`
    : html`<${Change} hook=${hook} done=${done} fields=${{ enabled: false }} text="Disable" is="disabled"
        asks="Events of the time until it is enabled again are never sent to it. To keep them, pause it." />`;

export const Pause = ({ hook, done }) =>
  hook.paused
    ? html`<${Change} hook=${hook} done=${done} fields=${{ paused: false }} text="Resume" is="resumed" />`
    : html`<${Change} hook=${hook} done=${done} fields=${{ paused: true }} text="Pause" is="paused" />`;

/** A button that changes some fields of a hook; `asks`: what is to be confirmed first. */
function Change({ hook, done, fields, text, is, asks }) {
  const press = async (event) => {
    event.stopPropagation();
    if (asks && !(await confirmed(`${text} ${hook.name ?? hook.id}?`, asks, text))) return;
    await doing(
      () => api.changeHook(hook.account_id, hook.id, fields),
      `${hook.name ?? hook.id} is ${is}.`,
    );
    done();
  };
  return html`<button type="button" onClick=${press}>${text}</button>`;
}
