// Disabled hooks and dead letters of all accounts, which no figure shows: asked for from time to time.

import { store } from "../parts/store.js";
import * as api from "./api.js";
import { happened } from "./live.js";

const EVERY_MS = 15_000;
const SHOWN = 50;

/** {disabled, letters}: each {count, more, first}; null as long as they are not known. */
export const trouble = store({ disabled: null, letters: null });

let timer = null;

export function watchTrouble() {
  trouble.set({ disabled: null, letters: null });
  look();
  timer = setInterval(() => !document.hidden && look(), EVERY_MS);
}

export function stopWatching() {
  clearInterval(timer);
  timer = null;
}

async function look() {
  try {
    const [disabled, hooks, letters, page] = await Promise.all([
      api.hookCount({ enabled: false }),
      api.hooks({ enabled: false }),
      api.deadLetterCount({}),
      api.deadLetters({ size: SHOWN }),
    ]);
    const before = trouble.get();
    const now = {
      disabled: { ...disabled, first: hooks.hooks },
      letters: { ...letters, first: page.letters },
    };
    if (timer === null) return;
    trouble.set(now);
    for (const hook of fresh(before.disabled, now.disabled))
      happened("disabled", hook.name ?? hook.id, `disabled: ${hook.disable_reason ?? "by a user"}`);
    for (const letter of fresh(before.letters, now.letters))
      happened("down", letter.uri ?? letter.routing_key ?? letter.id, `dead letter: ${letter.reason}`);
  } catch {
    // The connection is lost, as the page says already; what was known stays.
  }
}

/** Those that were not there before. */
function fresh(before, now) {
  if (before === null) return [];
  const known = new Set(before.first.map(({ id }) => id));
  return now.first.filter(({ id }) => !known.has(id));
}
