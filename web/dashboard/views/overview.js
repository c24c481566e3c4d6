// What an operator leaves open: figures, tree, charts, endpoints in trouble, what has happened.

import { Chart } from "../parts/chart.js";
import { count, milliseconds, rate, time } from "../parts/format.js";
import { html } from "../parts/html.js";
import { live } from "../data/live.js";
import { link } from "../parts/route.js";
import { useStore } from "../parts/store.js";
import { EndpointTable } from "./endpoints.js";
import { Tree } from "./tree.js";
import { Trouble } from "./trouble.js";

const RATES = [
  { name: "events", label: "events/s", colour: "line-1" },
  { name: "deliveries", label: "deliveries/s", colour: "line-2", filled: true },
];
const LATENCY = [
  { name: "p50", label: "p50", colour: "line-2" },
  { name: "p90", label: "p90", colour: "line-3" },
  { name: "p99", label: "p99", colour: "line-4" },
];
const FAILURES = [{ name: "failures", label: "failed/s", colour: "bad", filled: true }];
const SHOWN_ENDPOINTS = 6;

export function Overview() {
  const { now, series, happenings } = useStore(live);
  if (!now) return html`<p class="waiting quiet" role="status">Waiting for the first figures…</p>`;
  const { figures } = now;
  const endpoints = now.endpoints.slice(0, SHOWN_ENDPOINTS);
  return html`
    <h1 class="unseen">Overview</h1>
    <${Trouble} />
    <dl class="strip">
      <${Figure} name="events/s" value=${rate(figures.events)} />
      <${Figure} name="deliveries/s" value=${rate(figures.deliveries)} />
      <${Figure} name="failed/s" value=${rate(figures.failures)} alarm=${figures.failures > 0} />
      <${Figure} name="p50" value=${milliseconds(figures.p50)} />
      <${Figure} name="p99" value=${milliseconds(figures.p99)} />
      <${Figure} name="in flight" value=${count(figures.in_flight)} />
      <${Figure} name="to be retried" value=${count(figures.waiting)} />
      <${Figure} name="hooks" value=${count(figures.hooks)} href=${link("hooks")} />
      <${Figure} name="open circuits" value=${count(figures.circuits)} alarm=${figures.circuits > 0}
        href=${link("endpoints")} />
    </dl>
    <div class="overview">
      <div class="column">
        <section class="panel charts" aria-label="Charts">
          <${Chart} title="Rates" series=${series} lines=${RATES} format=${rate} />
          <${Chart} title="Latency" series=${series} lines=${LATENCY} format=${milliseconds} least=${10} />
          <${Chart} title="Failures" series=${series} lines=${FAILURES} format=${rate} />
        </section>
      </div>
      <div class="column">
        <section class="panel" aria-label="Endpoints">
          <header>
            <h2>Endpoints</h2>
            <a href=${link("endpoints")}>all</a>
          </header>
          <${EndpointTable} endpoints=${endpoints} />
        </section>
        <section class="panel" aria-label="What happened">
          <header>
            <h2>What happened</h2>
            <span class="quiet">since this page is open</span>
          </header>
          <${Happenings} happenings=${happenings} />
        </section>
      </div>
    </div>
    <${Tree} tree=${now.tree} at=${now.at} />
  `;
}

const Figure = ({ name, value, alarm, href }) => html`<div class=${alarm ? "figure alarm" : "figure"}>
  <dt>${href ? html`<a href=${href}>${name}</a>` : name}</dt>
  <dd>${value}</dd>
</div>`;

const Happenings = ({ happenings }) =>
  happenings.length === 0
    ? html`<p class="none">No restart, no change of a circuit, no hook disabled.</p>`
    : html`<ol class="happenings" role="log">
        ${happenings.map(
          (one) => html`<li key=${`${one.at} ${one.subject} ${one.text}`} class=${`kind-${one.kind}`}>
            <time>${time(one.at)}</time> <b>${one.subject}</b> <span>${one.text}</span>
          </li>`,
        )}
      </ol>`;
