// A hook's filter and transform, with a preview on a sample of the event or on a payload of one's own.

import * as api from "../../data/api.js";
import { pretty } from "../../parts/format.js";
import { html, useState } from "../../parts/html.js";
import { useAnswer, useSettled } from "../../parts/loading.js";
import { Problem, State } from "../../parts/widgets.js";
import { Text } from "./fields.js";

const STILL_MS = 400;

/** `hook`: the members that shape what is sent, `filter` and `transform` among them. */
export function Shape({ account, hook, set, faults }) {
  const [own, setOwn] = useState(null);
  const asked = useSettled(JSON.stringify({ hook, own }), STILL_MS);
  const { value, problem } = useAnswer(async (signal) => {
    const wanted = JSON.parse(asked);
    if (!wanted.hook.hook) return null;
    return api.preview(account, wanted.hook, payloadOf(wanted.own), signal);
  }, [account, asked]);
  return html`<fieldset>
    <legend>Which events, and what of them</legend>
    <${Text} name="filter" label="Filter" value=${hook.filter ?? ""} change=${set("filter")} faults=${faults} rows="2"
      help="A JMESPath expression on the event, such as total > \`100\`. Only events for which it is true are sent." />
    <${Text} name="transform" label="Transform" value=${hook.transform ?? ""} change=${set("transform")}
      faults=${faults} rows="3"
      help="A JMESPath expression, such as {text: join(' ', ['Order', id])}. Its result is sent in place of the event." />
    <section class="sides" aria-label="Preview">
      <div class="field">
        <label for="payload">Try it on this event</label>
        <textarea id="payload" class="mono" rows="12" spellcheck=${false}
          value=${own ?? pretty(value?.payload)} onInput=${(event) => setOwn(event.target.value)}></textarea>
      </div>
      <div>
        <div class="bar">
          <h2>Preview</h2>
          ${value && !problem && html`<${Sent} preview=${value} />`}
        </div>
        <${Problem} text=${problem} />
        ${value && !problem && html`<pre tabindex="0">${pretty(value.body)}</pre>`}
      </div>
    </section>
  </fieldset>`;
}

function Sent({ preview }) {
  if (preview.sent) return html`<${State} kind="good">sent<//>`;
  const why =
    preview.transform_error || preview.filter_error || (preview.modifiers ? "the filter is not true" : "not selected");
  return html`<${State} kind="busy">not sent<//> <span class="quiet">${why}</span>`;
}

/** Undefined without a text: then it is a sample. */
function payloadOf(text) {
  if (!text?.trim()) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("The event is no JSON.");
  }
}
