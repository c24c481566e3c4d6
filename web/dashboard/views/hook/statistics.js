// How a hook has fared: how many attempts succeeded, and how long they took.

import * as api from "../../data/api.js";
import { Chart } from "../../parts/chart.js";
import { count, fromGregorian, milliseconds, time } from "../../parts/format.js";
import { html, useMemo, useState } from "../../parts/html.js";
import { useAnswer } from "../../parts/loading.js";
import { Choice, Problem } from "../../parts/widgets.js";

const SPANS = [
  ["3600", "hour"],
  ["86400", "day"],
  ["604800", "week"],
  ["2592000", "month"],
];
const STEPS = 60;
const REFRESH_MS = 15_000;
const OUTCOMES = [
  { name: "succeeded", label: "succeeded", colour: "line-2", filled: true },
  { name: "failed", label: "failed", colour: "bad" },
];
const DURATIONS = [
  { name: "p50_ms", label: "p50", colour: "line-2", sparse: true },
  { name: "p90_ms", label: "p90", colour: "line-3", sparse: true },
  { name: "p99_ms", label: "p99", colour: "line-4", sparse: true },
];

export function Statistics({ account, hook }) {
  const [span, setSpan] = useState("86400");
  const { value, problem } = useAnswer(
    (signal) => api.statistics(account, hook, Number(span), STEPS, signal),
    [account, hook, span],
    REFRESH_MS,
  );
  const series = useMemo(() => value && columns(value.steps), [value]);
  const attempts = value ? value.succeeded + value.failed : 0;
  const cut = value && value.until - value.since < Number(span) - 60;
  return html`<section class="panel page" aria-label="Statistics">
    <header>
      <h2>Statistics</h2>
      <${Choice} label="Last" value=${span} options=${SPANS} change=${setSpan} />
      ${cut && html`<span class="quiet">since ${time(fromGregorian(value.since))}, the newest attempts</span>`}
    </header>
    <${Problem} text=${problem} />
    ${value &&
    html`<dl class="strip five">
      <${Figure} name="attempts" value=${count(attempts)} />
      <${Figure} name="succeeded" value=${share(value.succeeded, attempts)} />
      <${Figure} name="failed" value=${count(value.failed)} alarm=${value.failed > 0} />
      <${Figure} name="p50" value=${milliseconds(value.p50_ms)} />
      <${Figure} name="p99" value=${milliseconds(value.p99_ms)} />
    </dl>`}
    ${attempts > 0 &&
    html`<div class="charts">
      <${Chart} key=${`outcomes ${span}`} title="Attempts" span=${Number(span)} series=${series} lines=${OUTCOMES}
        format=${count} />
      <${Chart} key=${`durations ${span}`} title="Durations" span=${Number(span)} series=${series} lines=${DURATIONS}
        format=${milliseconds} least=${10} />
    </div>`}
    ${value &&
    value.succeeded === 0 &&
    html`<p class="none">No successful attempt is recorded in this time; not all systems record them.</p>`}
  </section>`;
}

const Figure = ({ name, value, alarm }) => html`<div class=${alarm ? "figure alarm" : "figure"}>
  <dt>${name}</dt>
  <dd>${value}</dd>
</div>`;

const share = (part, whole) =>
  whole === 0 ? "–" : `${(Math.floor((part / whole) * 1000) / 10).toFixed(1)} %`;

/** The steps as columns by name, with their times in Unix seconds. */
const columns = (steps) => ({
  at: steps.map((step) => fromGregorian(step.at)),
  ...Object.fromEntries(
    [...OUTCOMES, ...DURATIONS].map(({ name }) => [name, steps.map((step) => step[name])]),
  ),
});
