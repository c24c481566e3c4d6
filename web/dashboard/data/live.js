// What the system does right now: the stream of the server, and what was seen to happen in it.

import { changes } from "./changes.js";
import { session, signOut } from "./session.js";
import { store } from "../parts/store.js";
import { events, Refusal } from "./stream.js";

const KEPT_POINTS = 600;
const KEPT_HAPPENINGS = 100;
const PAUSES_S = [1, 2, 4, 8];
const SILENCE_S = 10;

/**
 * `connection`: connecting, live or lost. `now`: the latest tick, heard at `heardMs`. `series`: columns of numbers by
 * name, `at` among them. `happenings`: the latest first.
 */
const NOTHING = { connection: "connecting", now: null, heardMs: 0, series: { at: [] }, happenings: [] };
export const live = store(NOTHING);

let running = null;

export function follow() {
  stop();
  const abort = new AbortController();
  running = abort;
  live.set(NOTHING);
  keepReading(abort);
}

export function stop() {
  running?.abort();
  running = null;
}

async function keepReading(abort) {
  for (let failures = 0; !abort.signal.aborted; failures++) {
    try {
      await read(abort, () => (failures = 0));
    } catch (problem) {
      if (abort.signal.aborted) return;
      if (problem instanceof Refusal && [401, 403].includes(problem.status)) {
        signOut("The token is no longer accepted.");
        return;
      }
    }
    if (abort.signal.aborted) return;
    live.set({ ...live.get(), connection: "lost" });
    await pause(PAUSES_S[Math.min(failures, PAUSES_S.length - 1)], abort.signal);
  }
}

/** One connection. A server that has gone silent is as good as gone. */
async function read(abort, heard) {
  const connection = new AbortController();
  const end = () => connection.abort();
  abort.signal.addEventListener("abort", end);
  let watchdog = setTimeout(end, SILENCE_S * 1000);
  try {
    for await (const { event, data } of events(
      "/v2/callboard/live",
      session.get().token,
      connection.signal,
    )) {
      clearTimeout(watchdog);
      watchdog = setTimeout(end, SILENCE_S * 1000);
      heard();
      take(event, JSON.parse(data));
    }
  } finally {
    clearTimeout(watchdog);
    abort.signal.removeEventListener("abort", end);
    end();
  }
}

/** Adds to what happened. */
export function happened(kind, subject, text) {
  const before = live.get();
  const one = { at: Date.now() / 1000, kind, subject, text };
  live.set({ ...before, happenings: [one, ...before.happenings].slice(0, KEPT_HAPPENINGS) });
}

function take(event, data) {
  const before = live.get();
  if (event === "history") {
    live.set({ ...before, connection: "live", series: joined(before.series, data) });
  } else if (event === "tick") {
    const { point, ...now } = data;
    now.tree ??= before.now?.tree ?? null; // As it was last, with the problem said beside it.
    now.figures ??= before.now?.figures ?? {};
    live.set({
      connection: "live",
      now,
      heardMs: Date.now(),
      series: point ? appended(before.series, point) : before.series,
      happenings: [...changes(before.now, now), ...before.happenings].slice(0, KEPT_HAPPENINGS),
    });
  }
}

/** The history, behind what is known from before it: the server may have begun anew. */
function joined(known, history) {
  const begins = history.at[0] ?? Infinity;
  const older = known.at.filter((at) => at < begins).length;
  return columns([known, history], (name) => [
    ...(known[name] ?? known.at.map(() => null)).slice(0, older),
    ...(history[name] ?? history.at.map(() => null)),
  ]);
}

function appended(series, point) {
  if (series.at.at(-1) >= point.at) return series;
  return columns([series, point], (name) => [
    ...(series[name] ?? series.at.map(() => null)),
    point[name] ?? null,
  ]);
}

/** An object of columns, by all names that the sources have; of the latest points. */
function columns(sources, column) {
  const names = new Set(sources.flatMap(Object.keys));
  return Object.fromEntries([...names].map((name) => [name, column(name).slice(-KEPT_POINTS)]));
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
