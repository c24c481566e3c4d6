// Things that are asked from the server, again when they may have changed.

import { useCallback, useEffect, useRef, useState } from "./html.js";

/**
 * What `ask` (a function of an AbortSignal) answers: {value, problem, loading, reload}. Asked anew
 * when `inputs` change, and every `everyMs` while the page is in sight; what was there stays until
 * the answer comes.
 */
export function useAnswer(ask, inputs, everyMs = 0) {
  const [state, setState] = useState({ value: null, problem: "", loading: true });
  const latest = useRef(null);

  const load = useCallback(async (quiet) => {
    latest.current?.abort();
    const abort = new AbortController();
    latest.current = abort;
    if (!quiet) setState((before) => ({ ...before, loading: true }));
    try {
      const value = await ask(abort.signal);
      if (!abort.signal.aborted) setState({ value, problem: "", loading: false });
    } catch (problem) {
      if (abort.signal.aborted) return;
      setState((before) => ({ ...before, problem: problem.message, loading: false }));
    } finally {
      if (latest.current === abort) latest.current = null;
    }
  }, inputs);

  useEffect(() => {
    load(false);
    return () => latest.current?.abort();
  }, [load]);

  useEffect(() => {
    if (!everyMs) return undefined;
    const timer = setInterval(() => {
      // A server that takes longer than that is not asked again before it has answered.
      if (!document.hidden && latest.current === null) load(true);
    }, everyMs);
    return () => clearInterval(timer);
  }, [load, everyMs]);

  return { ...state, reload: () => load(true) };
}

/** Pages behind opaque keys: {key, number, next(key), back, first}; `back` is null on the first. */
export function usePages(inputs) {
  const [keys, setKeys] = useState([]);
  const seen = useRef(inputs.join("\n"));
  const now = inputs.join("\n");
  const trail = seen.current === now ? keys : [];
  useEffect(() => {
    if (seen.current !== now) {
      seen.current = now;
      setKeys([]);
    }
  });
  return {
    key: trail.at(-1),
    number: trail.length + 1,
    next: (key) => setKeys([...trail, key]),
    back: trail.length ? () => setKeys(trail.slice(0, -1)) : null,
  };
}

/** A value that changes only when its source has been still for a while (typing). */
export function useSettled(value, stillMs = 250) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), stillMs);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
