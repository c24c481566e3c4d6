// A value that views watch.

import { useLayoutEffect, useReducer, useRef } from "./html.js";

export function store(value) {
  const watchers = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const watcher of [...watchers]) watcher();
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}

const all = (value) => value;

/** The value, or what `select` makes of it; who uses it is rendered anew when that changes. */
export function useStore(watched, select = all) {
  const [, renderAgain] = useReducer((n) => n + 1, 0);
  const shown = select(watched.get());
  const latest = useRef();
  latest.current = shown;
  useLayoutEffect(
    () => watched.watch(() => select(watched.get()) !== latest.current && renderAgain()),
    [watched],
  );
  return shown;
}
