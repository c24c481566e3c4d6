// What needs somebody's attention, the worst first.

import { live } from "../data/live.js";
import { trouble } from "../data/trouble.js";
import { count, fromGregorian, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { link } from "../parts/route.js";
import { useStore } from "../parts/store.js";
import { State } from "../parts/widgets.js";

const SHOWN = 3;

export function Trouble() {
  const { now } = useStore(live);
  const { disabled, letters } = useStore(trouble);
  const open = now.endpoints.filter(({ circuit }) => circuit !== "closed");
  const waiting = now.figures.waiting;
  const lines = [
    ...now.problems.map((problem) => ["bad", "node", problem]),
    open.length > 0 && [
      "bad",
      "circuits",
      html`<a href=${link("endpoints")}>${counted(open.length, "endpoint is", "endpoints are")} not available</a>
        ${some(open, (one) => html`<a class="mono" href=${link("hooks", "find", one.endpoint)}>${one.endpoint}</a>`)}`,
    ],
    disabled?.count > 0 && [
      "bad",
      "hooks",
      html`<a href=${link("hooks", "disabled")}>${many(disabled, "hook is", "hooks are")} disabled</a>
        ${some(disabled.first, (hook) => html`<a href=${link("hooks", hook.account_id, hook.id)}>${hook.name ?? hook.id}</a>
          <span class="quiet">${hook.disable_reason}</span>`)}`,
    ],
    letters?.count > 0 && [
      "bad",
      "dead letters",
      html`<a href=${link("dead-letters")}>${many(letters, "dead letter", "dead letters")}</a>
        ${some(letters.first, (letter) => html`<span class="quiet">${time(fromGregorian(letter.created))}</span> ${letter.reason}`)}`,
    ],
    waiting > 0 && ["busy", "waiting", `${counted(waiting, "delivery waits", "deliveries wait")} for another attempt`],
  ].filter(Boolean);
  return html`<section class="panel trouble-list" aria-label="Trouble">
    ${lines.length === 0
      ? html`<p role="status">
          ${disabled ? html`<${State} kind="good">Nothing needs attention.<//>` : html`<span class="quiet">Looking for trouble…</span>`}
        </p>`
      : html`<ul>
          ${lines.map(([kind, name, text], i) => html`<li key=${i}><${State} kind=${kind}>${name}<//> <span>${text}</span></li>`)}
        </ul>`}
  </section>`;
}

const counted = (number, one, more) => `${count(number)} ${number === 1 ? one : more}`;
const many = ({ count: number, more }, one, others) => `${more ? "more than " : ""}${counted(number, one, others)}`;

/** The first ones, each after a mark. */
const some = (all, shown) => all.slice(0, SHOWN).map((one) => html`<span class="one">${shown(one)}</span>`);
