// The live supervision tree. A row flashes when its actor was restarted.

import { html, useEffect, useMemo, useRef, useState } from "../parts/html.js";
import { nodes } from "../data/changes.js";
import { count, duration } from "../parts/format.js";
import { State } from "../parts/widgets.js";

const FLASH_MS = 4000;
const WELL = ["running", "ended"];
const KINDS = { running: "good", ended: "quiet", starting: "busy", stopping: "busy" };

/** Folded as long as all is well, unless somebody opens it. */
export function Tree({ tree, at }) {
  const [closed, setClosed] = useState(new Set());
  const [chosen, choose] = useState(null);
  const rows = useMemo(() => visible(tree, closed), [tree, closed]);
  const fresh = useFlash(rows);
  const toggle = (path) => {
    const next = new Set(closed);
    if (!next.delete(path)) next.add(path);
    setClosed(next);
  };
  const all = [...nodes(tree)];
  const ill = all.filter(({ status }) => !WELL.includes(status)).length;
  const open = chosen ?? (ill > 0 || fresh.size > 0);
  return html`<section class="panel tree" aria-label="Supervision tree">
    <header>
      <h2>Processes</h2>
      <${State} kind=${ill ? "bad" : "good"}>${ill ? `${count(ill)} of ${count(all.length)} do not run` : `${count(all.length)} run`}<//>
      <span class="fill"></span>
      <button type="button" aria-expanded=${String(open)} onClick=${() => choose(!open)}>
        ${open ? "Hide processes" : "Show processes"}
      </button>
    </header>
    ${open && html`<table>
      <thead>
        <tr>
          <th>Process</th>
          <th class="number">pid</th>
          <th class="number">up</th>
          <th class="number" title="restarts">rst</th>
          <th>state</th>
          <th class="figures">figures</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (node) => html`<${Row}
            key=${node.path}
            node=${node}
            at=${at}
            flash=${fresh.has(node.path)}
            closed=${closed.has(node.path)}
            toggle=${toggle}
          />`,
        )}
      </tbody>
    </table>`}
  </section>`;
}

function Row({ node, at, flash, closed, toggle }) {
  const parent = node.children?.length > 0;
  const classes = [flash && "flash", node.status === "ended" && "over"].filter(Boolean).join(" ");
  return html`<tr class=${classes} data-path=${node.path}>
    <th scope="row" class=${`name depth-${Math.min(node.depth, 4)}`} title=${node.actor}>
      ${parent && node.depth > 0
        ? html`<button
            type="button"
            class="fold"
            aria-expanded=${String(!closed)}
            aria-label=${`${closed ? "Show" : "Hide"} what is below ${node.path}`}
            onClick=${() => toggle(node.path)}
          >
            ${closed ? "▸" : "▾"}
          </button>`
        : null}
      ${node.id}
    </th>
    <td class="number">${node.pid ?? "–"}</td>
    <td class="number">
      ${node.started_at && node.status !== "ended" ? duration(at - node.started_at) : "–"}
    </td>
    <td class=${node.restarts ? "number some" : "number zero"}>${count(node.restarts)}</td>
    <td>
      <${State} kind=${KINDS[node.status] ?? "bad"}>${node.status}<//>
    </td>
    <td class="figures" title=${figures(node.stats)}>${figures(node.stats)}</td>
  </tr>`;
}

function visible(tree, closed) {
  const rows = [];
  let hidden = null;
  for (const node of nodes(tree)) {
    if (hidden !== null && node.depth > hidden) continue;
    hidden = closed.has(node.path) ? node.depth : null;
    rows.push(node);
  }
  return rows;
}

const figures = (stats) =>
  Object.entries(stats ?? {})
    .filter(([, value]) => value && typeof value !== "object")
    .map(([name, value]) => (value === true ? name : `${name} ${figure(name, value)}`))
    .join("  ·  ");

const figure = (name, value) =>
  typeof value === "number" && name !== "port" ? count(value) : value;

/** The paths of actors whose process was another one a moment ago. */
function useFlash(rows) {
  const known = useRef(new Map());
  const [fresh, setFresh] = useState(new Set());
  useEffect(() => {
    const restarted = rows.filter((node) => {
      const earlier = known.current.get(node.path);
      return earlier !== undefined && node.pid && earlier !== node.pid;
    });
    for (const node of rows) if (node.pid) known.current.set(node.path, node.pid);
    if (restarted.length === 0) return;
    const paths = restarted.map((node) => node.path);
    setFresh((before) => new Set([...before, ...paths]));
    setTimeout(
      () => setFresh((before) => new Set([...before].filter((path) => !paths.includes(path)))),
      FLASH_MS,
    );
  }, [rows]);
  return fresh;
}
