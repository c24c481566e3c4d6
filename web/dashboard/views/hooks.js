// All hooks, a page at a time: however many there are, the server looks for what is wanted.

import * as api from "../data/api.js";
import { confirmed } from "../parts/dialog.js";
import { fromGregorian, time } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { rowKeys } from "../parts/keys.js";
import { useAnswer, usePages, useSettled } from "../parts/loading.js";
import { doing } from "../parts/notes.js";
import { go } from "../parts/route.js";
import { mayChange, session } from "../data/session.js";
import { useStore } from "../parts/store.js";
import { Choice, Field, Pager, Problem, Sorted, State, Total } from "../parts/widgets.js";

const STATES = [
  ["", "all"],
  ["true", "enabled"],
  ["false", "disabled"],
];
const REFRESH_MS = 5000;
/** A search may make the server look at all hooks there are. */
const REFRESH_SEARCH_MS = 30_000;

/** `text` and `enabled`: what is looked for at first. */
export function Hooks({ text: first = "", enabled = "" }) {
  const everybody = useStore(session).account === undefined;
  const [typed, setText] = useState(first);
  const [typedAccount, setAccount] = useState("");
  const [state, setState] = useState(enabled);
  const [sort, setSort] = useState({ by: "", ascending: true });
  const text = useSettled(typed);
  const account = useSettled(typedAccount);
  const search = { text, account, enabled: state };
  const searched = [text, account, state];
  const pages = usePages([...searched, sort.by, sort.ascending]);
  const everyMs = text || sort.by ? REFRESH_SEARCH_MS : REFRESH_MS;
  const { value, problem, loading, reload } = useAnswer(
    (signal) => api.hooks({ ...search, sort: sort.by, ascending: sort.by ? sort.ascending : "", after: pages.key }, signal),
    [...searched, sort.by, sort.ascending, pages.key],
    everyMs,
  );
  const counted = useAnswer(
    (signal) => (everybody ? api.hookCount(search, signal) : null),
    searched,
    REFRESH_SEARCH_MS,
  );
  const found = value?.hooks ?? [];
  const head = (by, name, more) =>
    html`<${Sorted} by=${by} sort=${sort} change=${everybody && setSort} ...${more}>${name}<//>`;
  return html`<section class="panel page">
    <header>
      <h1>Hooks</h1>
      <${Total} counted=${counted.value} />
      <${Field} label="Search" search wide value=${typed} change=${setText} placeholder="name, event, uri or id" />
      ${!everybody &&
      mayChange() &&
      html`<button type="button" class="primary" onClick=${() => go("hooks", "new")}>New hook</button>`}
      ${everybody &&
      html`<${Field} label="Account" value=${typedAccount} change=${setAccount} />
        <${Choice} label="State" value=${state} options=${STATES} change=${setState} />`}
    </header>
    <${Problem} text=${problem} />
    <table class=${everybody ? "hooks of-all" : "hooks"} aria-busy=${String(loading)}>
      <thead>
        <tr>
          <th>state</th>
          ${head("name", "name")} ${head("hook", "event")} ${head("uri", "uri")}
          ${everybody &&
          html`${head("account_id", "account", { class: "wide-only" })}
            <th class="wide-only">changed</th>`}
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
    ${everybody &&
    html`<td class="mono cut wide-only" title=${hook.account_id}>${hook.account_id}</td>
      <td class="when wide-only">${time(fromGregorian(hook.modified))}</td>`}
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
