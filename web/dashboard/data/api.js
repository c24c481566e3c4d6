// What the dashboard asks of the REST API; the shapes of its answers are known here alone.

import { toGregorian } from "../parts/format.js";
import { session, signOut } from "./session.js";

/** An answer that is no success; the message is for people. */
export class Refused extends Error {
  constructor(status, body) {
    super(reason(status, body));
    this.status = status;
    /** {member: text} of a document that was refused. */
    this.faults = status === 400 ? faults(body?.data) : {};
  }
}

function faults(data) {
  const found = {};
  for (const [path, rules] of Object.entries(data ?? {})) {
    const texts = Object.values(rules ?? {}).map((rule) => rule?.message);
    const text = texts.filter(Boolean).join("; ");
    if (text) found[path.split(".")[0]] = path.includes(".") ? `${path}: ${text}` : text;
  }
  return found;
}

function reason(status, body) {
  const detail = body?.data?.message ?? firstText(body?.data) ?? body?.message;
  return detail ? `${detail} (${status})` : `the server answered ${status}`;
}

/** The first message in {path: {rule: {message}}}, with its path. */
function firstText(data) {
  for (const [path, rules] of Object.entries(data ?? {})) {
    for (const rule of Object.values(rules ?? {})) {
      if (rule?.message) return `${path}: ${rule.message}`;
    }
  }
  return undefined;
}

async function call(method, path, { data, query, signal, token = session.get()?.token } = {}) {
  const address = new URL(path, location.origin);
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== "") address.searchParams.set(key, value);
  }
  const headers = { "X-Auth-Token": token, Accept: "application/json" };
  if (data !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(address, {
    method,
    headers,
    signal,
    cache: "no-store",
    body: data === undefined ? undefined : JSON.stringify({ data }),
  }).catch((problem) => {
    throw problem.name === "AbortError" ? problem : new Error("the server cannot be reached");
  });
  const body = await answer.json().catch(() => null);
  if (answer.status === 401 && session.get()) signOut("The token is no longer accepted.");
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

const part = encodeURIComponent;
const hookPath = (account, id) => `/v2/accounts/${part(account)}/webhooks/${part(id)}`;

/** Whose token that is: {account, rights, until}, undefined for the administrator's. */
export async function whose(token) {
  const { data } = await call("GET", "/v2/callboard/token", { token });
  return { account: data.account_id, rights: data.rights, until: data.until };
}

/** {name}: what the dashboard is called here. */
export async function brand() {
  const answer = await fetch("dashboard/brand.json");
  return answer.ok ? answer.json() : { name: "Callboard" };
}

/** The kinds of events that hooks may choose, by name. */
export async function catalogue(signal) {
  const query = { paginate: false, ascending: true };
  return (await call("GET", "/v2/webhooks", { query, signal })).data;
}

/** {hooks, next}: of all accounts for the administrator, who alone may choose among them. */
export async function hooks({ text, account, enabled, sort, ascending, after }, signal) {
  const own = session.get().account;
  const query = { page_size: 50, start_key: after };
  if (own) {
    const path = `/v2/accounts/${part(own)}/webhooks`;
    const { data, next_start_key: next } = await call("GET", path, { query: { ...query, text }, signal });
    return { hooks: data.map((hook) => ({ ...hook, account_id: own })), next };
  }
  const chosen = { ...query, text, enabled, account_id: account, sort, ascending };
  const path = "/v2/callboard/hooks";
  const { data, next_start_key: next } = await call("GET", path, { query: chosen, signal });
  return { hooks: data, next };
}

/** {count, more}: of the hooks of all accounts that are found so. `more`: there may be others. */
export const hookCount = async ({ text, account, enabled }, signal) =>
  (await call("GET", "/v2/callboard/hooks/count", { query: { text, enabled, account_id: account }, signal })).data;

export const hook = async (account, id, signal) =>
  (await call("GET", hookPath(account, id), { signal })).data;

/** Samples of the payload of a kind of event; none if none are known. */
export async function samples(kind, signal) {
  try {
    return (await call("GET", `/v2/webhooks/samples/webhooks_${part(kind)}`, { signal })).data;
  } catch (problem) {
    if (problem.status === 404) return [];
    throw problem;
  }
}

/** Creates a hook, or sets members of one (null removes a member). The hook as it is then. */
export const saveHook = async (account, id, fields) =>
  id === undefined
    ? (await call("PUT", `/v2/accounts/${part(account)}/webhooks`, { data: fields })).data
    : (await call("PATCH", hookPath(account, id), { data: fields })).data;

/** {sent, body, payload, …}: what a hook with these members would send of a payload, or of a sample. */
export const preview = async (account, hook, payload, signal) =>
  (
    await call("POST", `/v2/accounts/${part(account)}/webhooks/preview`, {
      data: { hook, ...(payload !== undefined && { payload }) },
      signal,
    })
  ).data;

export const deleteHook = (account, id) => call("DELETE", hookPath(account, id));

export const secrets = async (account, id, signal) =>
  (await call("GET", `${hookPath(account, id)}/secrets`, { signal })).data;

/** {secret} or {public_key}, shown once. `expiresIn`: seconds until the others end. */
export const addSecret = async (account, id, kind, expiresIn) =>
  (
    await call("PUT", `${hookPath(account, id)}/secrets`, {
      data: { kind, ...(expiresIn && { expires_in: expiresIn }) },
    })
  ).data;

export const retireSecret = (account, id, fingerprint) =>
  call("DELETE", `${hookPath(account, id)}/secrets/${part(fingerprint)}`);

/** Counts and durations over the last `seconds`, in `steps` parts. */
export async function statistics(account, id, seconds, steps, signal) {
  const now = toGregorian(Date.now() / 1000);
  const query = { created_from: now - seconds, created_to: now, steps };
  return (await call("GET", `${hookPath(account, id)}/statistics`, { query, signal })).data;
}

/** Changes some of a hook's fields, such as {enabled} or {paused}. */
export const changeHook = (account, id, fields) => call("PATCH", hookPath(account, id), { data: fields });

export const cancelDeliveries = (account, id) =>
  call("DELETE", `${hookPath(account, id)}/deliveries`);

/**
 * {count, deliveries, queues, next}: those that wait for their next try, the earliest first, and the queues of
 * ordered and paused hooks; of all hooks of an account without an id.
 */
export async function waiting(account, id, { text, after }, signal) {
  const query = { page_size: 20, start_key: after, text };
  const path = id
    ? `${hookPath(account, id)}/deliveries`
    : `/v2/accounts/${part(account)}/webhooks/deliveries`;
  const { data, next_start_key: next } = await call("GET", path, { query, signal });
  return { ...data, next };
}

/** {sent}: the number of deliveries that did not have to wait any longer. */
export const retryNow = async (account, id) =>
  (await call("POST", `${hookPath(account, id)}/deliveries/retry`, { data: {} })).data;

export const test = async (account, id) =>
  (await call("PUT", `${hookPath(account, id)}/test`, { data: {} })).data;

export const closeCircuit = (endpoint) =>
  call("POST", "/v2/callboard/endpoints/close", { data: { endpoint } });

/** {attempts, next}, the latest first; of all hooks of an account without an id. */
export async function attempts(account, id, { outcome, status, text, after }, signal) {
  const query = {
    page_size: 50,
    start_key: after,
    text,
    filter_result: outcome,
    filter_resp_status_code: status,
  };
  const path = id
    ? `${hookPath(account, id)}/attempts`
    : `/v2/accounts/${part(account)}/webhooks/attempts`;
  const { data, next_start_key: next } = await call("GET", path, { query, signal });
  return { attempts: data, next };
}

/** One attempt; its id has two parts. */
export const attempt = async (account, id, attemptId, signal) =>
  (
    await call("GET", `${hookPath(account, id)}/attempts/${attemptId.split("/").map(part).join("/")}`, {
      signal,
    })
  ).data;

/** Sends it once more. Throws where that is refused. */
export async function replay(account, id, attempt) {
  const path = `${hookPath(account, id)}/replay`;
  let work = (await call("PUT", path, { data: { attempt_id: attempt } })).data;
  while (work.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 200));
    work = (await call("GET", `${path}/${part(work.id)}`)).data;
  }
  const [skipped] = Object.values(work.skipped ?? {});
  if (work.reason ?? skipped) throw new Error(`Not sent: ${work.reason ?? skipped}`);
}

/** Those of the account that is signed in; of all for the administrator. */
const letters = () => {
  const own = session.get().account;
  return own ? `/v2/accounts/${part(own)}/webhooks/dead_letters` : "/v2/callboard/dead_letters";
};

/** {letters, next}, the latest first. */
export async function deadLetters({ text, account, kind, after, size = 50 }, signal) {
  const query = { page_size: size, start_key: after, account_id: account, kind, text };
  const { data, next_start_key: next } = await call("GET", letters(), { query, signal });
  return { letters: data, next };
}

/** {count, more}, as of hooks. */
export const deadLetterCount = async ({ text, account, kind }, signal) =>
  (await call("GET", `${letters()}/count`, { query: { text, kind, account_id: account }, signal })).data;

/** The ids of all that are found so, page by page. */
export async function deadLetterIds(search) {
  const ids = [];
  let after;
  do {
    const page = await deadLetters({ ...search, after, size: 1000 });
    ids.push(...page.letters.map((letter) => letter.id));
    after = page.next;
  } while (after);
  return ids;
}

export const deadLetter = async (id, signal) =>
  (await call("GET", `${letters()}/${part(id)}`, { signal })).data;

const IDS_AT_ONCE = 100;

/** `action`: retry or purge. {done, refused}: ids, and reasons by id. */
export async function onDeadLetters(action, ids) {
  const all = { done: [], refused: {} };
  for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
    const data = { action, ids: ids.slice(at, at + IDS_AT_ONCE) };
    const { done, refused } = (await call("PATCH", letters(), { data })).data;
    all.done.push(...done);
    Object.assign(all.refused, refused);
  }
  return all;
}
