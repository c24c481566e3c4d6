// The deliveries of a hook that wait for their next try, the earliest first.

import * as api from "../data/api.js";
import { mayChange } from "../data/session.js";
import { count, fromGregorian, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { useAnswer, usePages } from "../parts/loading.js";
import { doing } from "../parts/notes.js";
import { Pager, Problem } from "../parts/widgets.js";

const REFRESH_MS = 5000;

export function Waiting({ account, hook }) {
  const pages = usePages([hook]);
  const { value, problem, reload } = useAnswer(
    (signal) => api.waiting(account, hook, pages.key, signal),
    [account, hook, pages.key],
    pages.back ? 0 : REFRESH_MS,
  );
  const sendNow = async () => {
    await doing(() => api.retryNow(account, hook), ({ sent }) => `${count(sent)} are sent now.`);
    reload();
  };
  if (!problem && !value?.count) return null;
  return html`<section class="panel page" aria-label="Waiting deliveries">
    <header>
      <h2>Waiting</h2>
      <span>${count(value?.count)}</span>
      <span class="fill"></span>
      ${mayChange() && html`<button type="button" onClick=${sendNow}>Send now</button>`}
    </header>
    <${Problem} text=${problem} />
    <table>
      <thead>
        <tr>
          <th>due</th>
          <th>event</th>
          <th>reason</th>
          <th class="wide-only">event id</th>
          <th class="number">tries</th>
        </tr>
      </thead>
      <tbody>
        ${(value?.deliveries ?? []).map(
          (one) => html`<tr key=${one.id}>
            <td class="when">${time(fromGregorian(one.due))}</td>
            <td>${one.hook_event}</td>
            <td class="cut">${one.reason}</td>
            <td class="mono cut wide-only">${one.event_id}</td>
            <td class="number">${one.tries}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    <${Pager} pages=${pages} next=${value?.next} />
  </section>`;
}
