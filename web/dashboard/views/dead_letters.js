// Deliveries that were given up, and events that could not be handled: look, retry, throw away.

import * as api from "../data/api.js";
import { confirmed } from "../parts/dialog.js";
import { count, fromGregorian, time } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { rowKeys } from "../parts/keys.js";
import { useAnswer, usePages, useSettled } from "../parts/loading.js";
import { mayChange, session } from "../data/session.js";
import { attempted, doing } from "../parts/notes.js";
import { useStore } from "../parts/store.js";
import { Choice, Field, Pager, Problem, Total } from "../parts/widgets.js";
import { DeadLetter } from "./dead_letter.js";

const KINDS = [
  ["", "all"],
  ["delivery", "deliveries"],
  ["event", "events"],
];
const REFRESH_MS = 5000;
/** A search may make the server look at many. */
const REFRESH_SEARCH_MS = 30_000;

export function DeadLetters() {
  const everybody = useStore(session).account === undefined;
  const [typedAccount, setAccount] = useState("");
  const [typed, setText] = useState("");
  const [kind, setKind] = useState("");
  const [chosen, setChosen] = useState(new Set());
  const [open, setOpen] = useState(null);
  const account = useSettled(typedAccount);
  const text = useSettled(typed.trim());
  const search = { text, account, kind };
  const searched = [text, account, kind];
  const pages = usePages(searched);
  const { value, problem, loading, reload } = useAnswer(
    (signal) => api.deadLetters({ ...search, after: pages.key }, signal),
    [...searched, pages.key],
    text ? REFRESH_SEARCH_MS : REFRESH_MS,
  );
  const counted = useAnswer((signal) => api.deadLetterCount(search, signal), searched, REFRESH_SEARCH_MS);
  const found = value?.letters ?? [];
  // Also those of other pages, which were chosen together.
  const ids = [...chosen];
  const all = found.length > 0 && found.every(({ id }) => chosen.has(id));
  const act = async (work, done) => {
    if (await doing(work, done)) setChosen(new Set());
    reload();
    counted.reload();
  };
  const chooseMatching = () =>
    attempted(async () => setChosen(new Set(await api.deadLetterIds(search))));
  // What was chosen is of the search of then.
  useEffect(() => {
    setChosen(new Set());
  }, searched);
  const retry = () =>
    act(
      () => api.onDeadLetters("retry", ids),
      (result) => told(result, "on the way again"),
    );
  const purge = async () => {
    const text = "What is purged is gone for good, and is never delivered.";
    if (await confirmed(`Purge ${count(ids.length)}?`, text, "Purge")) {
      await act(
        () => api.onDeadLetters("purge", ids),
        (result) => told(result, "purged"),
      );
    }
  };

  return html`<section class="panel page">
    <header>
      <h1>Dead letters</h1>
      <${Total} counted=${counted.value} />
      <${Field} label="Search" search wide value=${typed} change=${setText} placeholder="reason, event, uri or id of a hook" />
      ${everybody &&
      html`<${Choice} label="Kind" value=${kind} options=${KINDS} change=${setKind} />
        <${Field} label="Account" value=${typedAccount} change=${setAccount} />`}
      <span class="fill"></span>
      ${mayChange() &&
      html`<button type="button" disabled=${!ids.length} onClick=${retry}>Retry ${count(ids.length)}</button>
        <button type="button" class="danger" disabled=${!ids.length} onClick=${purge}>
          Purge ${count(ids.length)}
        </button>`}
    </header>
    <${Problem} text=${problem} />
    ${mayChange() &&
    all &&
    value?.next &&
    html`<p class="matching">
      ${count(ids.length)} are chosen.
      <button type="button" onClick=${chooseMatching}>Choose all that match, of all pages</button>
    </p>`}
    <table class=${everybody ? "dead of-all" : "dead"} aria-busy=${String(loading)}>
      <thead>
        <tr>
          <th>
            <input
              type="checkbox"
              aria-label="Choose all on this page"
              checked=${all}
              onChange=${() => setChosen(new Set(all ? [] : found.map((letter) => letter.id)))}
            />
          </th>
          <th>when</th>
          <th>kind</th>
          <th>reason</th>
          <th>endpoint, or routing key</th>
          <th class="wide-only">event</th>
          ${everybody && html`<th class="wide-only">account</th>`}
          <th class="number">tries</th>
        </tr>
      </thead>
      <tbody>
        ${found.map(
          (letter) => html`<${Row}
            key=${letter.id}
            letter=${letter}
            everybody=${everybody}
            chosen=${chosen.has(letter.id)}
            choose=${() => setChosen(toggled(chosen, letter.id))}
            open=${() => setOpen(letter)}
          />`,
        )}
      </tbody>
    </table>
    ${found.length === 0 && !loading && !problem && html`<p class="none">None.</p>`}
    <${Pager} pages=${pages} next=${value?.next} />
    ${open &&
    html`<${DeadLetter} letter=${open} close=${() => setOpen(null)}
      retry=${() => act(() => api.onDeadLetters("retry", [open.id]), (result) => told(result, "on the way again"))} />`}
  </section>`;
}

const Row = ({ letter, everybody, chosen, choose, open }) => html`<tr
  data-row
  data-letter=${letter.id}
  tabindex="0"
  aria-label=${`Dead letter: ${letter.reason}`}
  onClick=${open}
  onKeyDown=${rowKeys(open)}
>
  <td onClick=${(click) => click.stopPropagation()}>
    <input type="checkbox" aria-label="Choose" checked=${chosen} onChange=${choose} />
  </td>
  <td class="when">${time(fromGregorian(letter.created))}</td>
  <td>${letter.kind}</td>
  <td class="cut" title=${letter.reason}>${letter.reason}</td>
  <td class="mono cut" title=${subject(letter)}>${subject(letter)}</td>
  <td class="cut wide-only">${letter.hook_event ?? letter.module}</td>
  ${everybody && html`<td class="mono cut wide-only" title=${letter.account_id}>${letter.account_id}</td>`}
  <td class="number">${letter.kind === "delivery" ? count(letter.tries) : ""}</td>
</tr>`;

const told = ({ done, refused }, what) =>
  [`${count(done.length)} ${what}.`, ...new Set(Object.values(refused))].join(" ");

/** Where a delivery was to go; exchange and routing key of an event. */
const subject = (letter) =>
  letter.uri ?? [letter.exchange, letter.routing_key].filter(Boolean).join(" ");

function toggled(set, member) {
  const next = new Set(set);
  if (!next.delete(member)) next.add(member);
  return next;
}
