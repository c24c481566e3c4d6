// The deliveries of a hook, or of an account, that wait for their next try, the earliest first.

import * as api from "../data/api.js";
import { mayChange } from "../data/session.js";
import { count, fromGregorian, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { useAnswer, usePages } from "../parts/loading.js";
import { doing } from "../parts/notes.js";
import { link } from "../parts/route.js";
import { Pager, Problem } from "../parts/widgets.js";

const REFRESH_MS = 5000;
/** A search may make the server look at many that wait. */
const REFRESH_SEARCH_MS = 30_000;

/** Without a `hook`, those of all hooks; with a `text`, those of the events that have it. */
export function Waiting({ account, hook, text = "" }) {
  const pages = usePages([hook, text]);
  const { value, problem, reload } = useAnswer(
    (signal) => api.waiting(account, hook, { text, after: pages.key }, signal),
    [account, hook, text, pages.key],
    pages.back ? 0 : text ? REFRESH_SEARCH_MS : REFRESH_MS,
  );
  const sendNow = async () => {
    await doing(() => api.retryNow(account, hook), ({ sent }) => `${count(sent)} are sent now.`);
    reload();
  };
  const queues = value?.queues ?? [];
  const found = [...queues.flatMap((queue) => queue.deliveries), ...(value?.deliveries ?? [])];
  if (!problem && found.length === 0 && (text || (!value?.count && queues.length === 0))) return null;
  return html`<section class="panel page" aria-label="Waiting deliveries">
    <header>
      <h2>Waiting</h2>
      ${!text && html`<span>${count(queues.reduce((sum, queue) => sum + queue.count, value?.count ?? 0))}</span>`}
      <span class="fill"></span>
      ${hook && mayChange() && html`<button type="button" onClick=${sendNow}>Send now</button>`}
    </header>
    <${Problem} text=${problem} />
    ${queues.map(
      (queue) => html`<p key=${queue.hook_id} class="quiet">
        ${count(queue.count)} in order of their events${queue.paused ? ", as long as the hook is paused" : ""}
        ${!hook && html`: <a class="mono" href=${link("hooks", account, queue.hook_id)}>${queue.hook_id}</a>`}
      </p>`,
    )}
    <table>
      <thead>
        <tr>
          <th>waits until</th>
          <th>event</th>
          <th>reason</th>
          <th class="wide-only">event id, reference</th>
          <th class="number">next attempt</th>
        </tr>
      </thead>
      <tbody>
        ${found.map(
          (one) => html`<tr key=${one.id}>
            <td class="when">${until(one)}</td>
            <td>${one.hook_event}</td>
            <td class="cut">${one.reason}</td>
            <td class="mono cut wide-only">${[one.event_id, one.reference].filter(Boolean).join(", ")}</td>
            <td class="number">${one.tries + 1} of ${one.most_tries}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    <${Pager} pages=${pages} next=${value?.next} label="Pages of waiting deliveries" />
  </section>`;
}

/** Those in order wait for others, and not for a time. */
const until = ({ due }) => (fromGregorian(due) * 1000 > Date.now() ? time(fromGregorian(due)) : "");
