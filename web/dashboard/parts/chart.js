// A chart of a time up to now: uPlot, with a legend of our own that shows the latest numbers,
// or those under the pointer.

import { duration } from "./format.js";
import uPlot from "../vendor/uPlot.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { useStore } from "./store.js";
import { theme } from "./theme.js";

const together = uPlot.sync("callboard");
const SPAN_S = 600;
const DAY_S = 86_400;
const HEIGHT = 108;

/**
 * `lines`: [{name, label, colour}], colours being names of style.css; `format`: number to text;
 * `span`: seconds, of which a chart keeps the first.
 */
export function Chart({ title, series, lines, format, least = 1, span = SPAN_S }) {
  const box = useRef();
  const plot = useRef();
  const [pointed, setPointed] = useState(null);
  const colours = useStore(theme);
  const columns = lines.map((line) => series[line.name] ?? series.at.map(() => null));

  useLayoutEffect(() => {
    plot.current = new uPlot(
      options(box.current.clientWidth, { lines, format, least, span, setPointed }),
      [series.at, ...columns],
      box.current,
    );
    const observer = new ResizeObserver(() =>
      plot.current.setSize({ width: box.current.clientWidth, height: HEIGHT }),
    );
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      plot.current.destroy();
    };
  }, [colours]);

  useEffect(() => plot.current.setData([series.at, ...columns]), [series]);

  const shown = columns.map((column) => (pointed === null ? column.at(-1) : column[pointed]));
  const spoken = lines.map((line, i) => `${line.label} ${format(shown[i])}`).join(", ");
  return html`<figure class="chart">
    <figcaption>
      <h2>${title}</h2>
      <ul class="legend">
        ${lines.map(
          (line, i) => html`<li key=${line.name} class=${`key key-${line.colour}`}>
            ${line.label} <b>${format(shown[i])}</b>
          </li>`,
        )}
      </ul>
    </figcaption>
    <div ref=${box} class="plot" role="img" aria-label=${`${title}, over ${duration(span)}: ${spoken}`} />
  </figure>`;
}

function options(width, { lines, format, least, span, setPointed }) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--quiet"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: together.key }, drag: { x: false, y: false }, y: false },
    hooks: { setCursor: [(plot) => setPointed(plot.cursor.idx ?? null)] },
    scales: {
      x: { time: true, range: (_plot, _from, to) => [to - span, to] },
      y: { range: (_plot, _from, to) => [0, Math.max(least, to * 1.1)] },
    },
    axes: [
      { ...axis, size: 22, gap: 4, space: 70, values: span > DAY_S ? dayMarks : clockMarks },
      { ...axis, size: 52, gap: 6, space: 26, values: (_plot, marks) => marks.map((m) => format(m)) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(`--${line.colour}`),
        fill: line.filled ? colour(`--${line.colour}-soft`) : undefined,
        width: 1.5,
        // A number between two that are unknown is no line.
        points: { show: (_plot, i) => lines[i - 1].sparse ?? false, size: 4 },
        spanGaps: false,
      })),
    ],
  };
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockMarks = (_plot, marks) => marks.map((mark) => clock.format(new Date(mark * 1000)));
const day = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "2-digit" });
const dayMarks = (_plot, marks) => marks.map((mark) => day.format(new Date(mark * 1000)));
