// Creates a hook, or changes one.

import * as api from "../../data/api.js";
import { session } from "../../data/session.js";
import { html, useState } from "../../parts/html.js";
import { useAnswer } from "../../parts/loading.js";
import { say } from "../../parts/notes.js";
import { go, link } from "../../parts/route.js";
import { Problem } from "../../parts/widgets.js";
import { Check, Input, Select, Text } from "./fields.js";
import { Shape } from "./shape.js";

const NEW = { hook: "", name: "", uri: "", http_verb: "post", format: "json" };
const VERBS = [
  ["post", "POST"],
  ["put", "PUT"],
  ["get", "GET, with the event in the query"],
];
const FORMATS = [
  ["json", "JSON"],
  ["form-data", "form data"],
];
const POLICIES = [
  ["", "as usual here"],
  ["standard", "standard: any 2xx succeeds, all but some 4xx are tried again, for hours"],
  ["kazoo", "kazoo: 200 succeeds, network errors are tried again, a few times"],
];

export const NewHook = ({ event }) => html`<${Form} stored=${{ ...NEW, hook: event ?? "" }} />`;
export const EditHook = ({ hook }) => html`<${Form} stored=${hook} />`;

function Form({ stored }) {
  const account = stored.account_id ?? session.get().account;
  const [fields, setFields] = useState(() => shown(stored));
  const [faults, setFaults] = useState({});
  const [problem, setProblem] = useState("");
  const [saving, setSaving] = useState(false);
  const kinds = useAnswer((signal) => api.catalogue(signal), []);
  const kindOf = (id) => kinds.value?.find((one) => one.id === id);
  const [kind, before] = [kindOf(fields.hook), kindOf(stored.hook)];
  const set = (name) => (value) => setFields((before) => ({ ...before, [name]: value }));
  const back = stored.id ? ["hooks", account, stored.id] : ["hooks"];

  const submit = async (event) => {
    event.preventDefault();
    setSaving(true);
    setFaults({});
    setProblem("");
    try {
      const saved = await api.saveHook(account, stored.id, members(fields, kind, before, stored));
      say(`${saved.name} is saved.`);
      go("hooks", account, saved.id);
    } catch (refused) {
      setFaults(refused.faults ?? {});
      setProblem(refused.message);
      setSaving(false);
    }
  };

  return html`<section class="panel page" aria-label=${stored.id ? "Edit hook" : "New hook"}>
    <header>
      <a href=${link(...back)}>← ${stored.id ? stored.name ?? stored.id : "Hooks"}</a>
      <h1>${stored.id ? "Edit" : "New hook"}</h1>
    </header>
    <${Problem} text=${problem || kinds.problem} />
    <form class="fields" onSubmit=${submit}>
      <${Input} name="name" label="Name" value=${fields.name} change=${set("name")} faults=${faults} required />
      <${Select} name="hook" label="Event" value=${fields.hook} change=${set("hook")} faults=${faults} required
        options=${[["", "choose one"], ...(kinds.value ?? []).map((one) => [one.id, one.name]), ["all", "all events"]]}
        help=${kind?.description} />
      ${Object.entries(kind?.modifiers ?? {}).map(
        ([key, modifier]) => html`<${Select} key=${key} name=${`only-${key}`} label=${key.replaceAll("_", " ")}
          value=${fields.chosen[key] ?? ""} options=${choices(modifier)} required faults=${faults}
          change=${(value) => set("chosen")({ ...fields.chosen, [key]: value })} />`,
      )}
      <${Input} name="uri" label="URL" type="url" value=${fields.uri} change=${set("uri")} faults=${faults}
        required placeholder="https://…" />
      <${Select} name="http_verb" label="Method" value=${fields.http_verb} options=${VERBS}
        change=${set("http_verb")} faults=${faults} />
      ${fields.http_verb !== "get" &&
      html`<${Select} name="format" label="Body" value=${fields.format} options=${FORMATS}
        change=${set("format")} faults=${faults} />`}
      <${Shape} account=${account} hook=${shaping(fields, kind, before, stored)} set=${set} faults=${faults} />
      <${Text} name="headers" label="Headers" value=${fields.headers} change=${set("headers")} faults=${faults}
        help="One a line, Name: value. They are sent with each event." rows="2" />
      <${Select} name="retry_policy" label="Retries" value=${fields.retry_policy} options=${POLICIES}
        change=${set("retry_policy")} faults=${faults} />
      <${Input} name="rate_limit" label="Requests a second" value=${fields.rate_limit} inputmode="decimal"
        change=${set("rate_limit")} faults=${faults} help="At most; empty: as fast as the endpoint answers." />
      <${Check} name="ordered" label="In order: an event waits until the one before has ended"
        value=${fields.ordered} change=${set("ordered")} />
      <footer>
        <button type="button" onClick=${() => go(...back)}>Cancel</button>
        <button class="primary" disabled=${saving}>${stored.id ? "Save" : "Create hook"}</button>
      </footer>
    </form>
  </section>`;
}

/** A stored hook as the form shows it. */
const shown = (hook) => ({
  name: hook.name ?? "",
  hook: hook.hook ?? "",
  uri: hook.uri ?? "",
  http_verb: hook.http_verb ?? "post",
  format: hook.format ?? "form-data",
  headers: Object.entries(hook.headers ?? {}).map((pair) => pair.join(": ")).join("\n"),
  retry_policy: hook.retry_policy ?? "",
  rate_limit: hook.rate_limit === undefined ? "" : String(hook.rate_limit),
  ordered: hook.ordered === true,
  chosen: hook.custom_data ?? {},
  filter: hook.filter ?? "",
  transform: hook.transform ?? "",
});

/** What is sent: members that the form has emptied are null where the hook has them. */
function members(fields, kind, before, stored) {
  const wanted = {
    ...Object.fromEntries(["name", "hook", "uri", "http_verb", "format"].map((key) => [key, fields[key]])),
    headers: headers(fields.headers),
    retry_policy: fields.retry_policy || null,
    rate_limit: fields.rate_limit.trim() ? number(fields.rate_limit) : null,
    ordered: fields.ordered || null,
    custom_data: customData(fields.chosen, kind, before, stored),
    filter: fields.filter.trim() || null,
    transform: fields.transform.trim() || null,
  };
  const there = (key, value) => value !== null || (stored.id && stored[key] !== undefined);
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => there(key, value)));
}

/** What shapes the events that the hook sends. */
const shaping = (fields, kind, before, stored) => {
  const { hook, http_verb, format, custom_data, filter, transform } = members(fields, kind, before, stored);
  const shapes = { hook, http_verb, format, custom_data, filter, transform };
  return Object.fromEntries(Object.entries(shapes).filter(([, value]) => value != null));
};

/** Texts that are no number are sent as they are: the server says what is wrong with them. */
const number = (text) => (Number.isFinite(Number(text)) ? Number(text) : text);

function headers(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (lines.length === 0) return null;
  return Object.fromEntries(
    lines.map((line) => {
      const [name, ...value] = line.split(":");
      return [name.trim(), value.join(":").trim()];
    }),
  );
}

/** What the hook has besides, with the choices of the kind of event; not those of the kind before. */
function customData(chosen, kind, before, stored) {
  const data = { ...stored.custom_data };
  for (const key of Object.keys(before?.modifiers ?? {})) if (kind !== before) delete data[key];
  for (const key of Object.keys(kind?.modifiers ?? {})) if (chosen[key]) data[key] = chosen[key];
  return Object.keys(data).length > 0 ? data : null;
}

function choices(modifier) {
  const items = Array.isArray(modifier.items)
    ? modifier.items.map((item) => [item, item])
    : Object.entries(modifier.items ?? {}).map(([id, item]) => [id, item?.friendly_name ?? item?.name ?? id]);
  return [["", "choose one"], ...items.filter(([id]) => id !== "all"), ["all", "all"]];
}
