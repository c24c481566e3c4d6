// What happened between two ticks: restarts of actors, circuits that opened or closed.

export function changes(before, now) {
  if (!before) return [];
  return [...restarts(before, now), ...circuits(before, now)];
}

/** Nodes of a tree, parents first, with their depth; a tree that is not there has none. */
export function* nodes(tree, depth = 0) {
  if (!tree) return;
  yield { ...tree, depth };
  for (const child of tree.children ?? []) yield* nodes(child, depth + 1);
}

function* restarts(before, now) {
  const known = new Map([...nodes(before.tree)].map((node) => [node.path, node]));
  for (const node of nodes(now.tree)) {
    const earlier = known.get(node.path);
    if (!earlier) continue;
    if (node.pid && earlier.pid && node.pid !== earlier.pid) {
      yield happening(now, "restart", node.path || node.id, `${earlier.pid} → ${node.pid}`);
    } else if (node.status !== earlier.status && node.status !== "running") {
      yield happening(now, node.status === "ended" ? "note" : "down", node.path || node.id, node.status);
    }
  }
}

function* circuits(before, now) {
  const earlier = new Map(before.endpoints?.map((one) => [one.endpoint, one.circuit]));
  const present = new Map(now.endpoints?.map((one) => [one.endpoint, one.circuit]));
  for (const [endpoint, circuit] of present) {
    const was = earlier.get(endpoint) ?? "closed";
    if (circuit !== was) yield happening(now, `circuit-${circuit}`, endpoint, `circuit ${circuit}`);
  }
}

const happening = (now, kind, subject, text) => ({ at: now.at, kind, subject, text });
