// A request and its response, side by side. All of it is somebody else's text.

import { pretty } from "./format.js";
import { html } from "./html.js";

/** Each has `line`, `headers` (an object, or pairs) and `body`. */
export const Exchange = ({ request, response }) => html`<div class="sides">
  <${Side} title="Request" ...${request} />
  <${Side} title="Response" ...${response} />
</div>`;

const Side = ({ title, line, headers, body }) => html`<section aria-label=${title}>
  <h3>${title}</h3>
  <p class="mono line">${line}</p>
  <${Headers} pairs=${Array.isArray(headers) ? headers : Object.entries(headers ?? {})} />
  ${body ? html`<pre tabindex="0">${pretty(body)}</pre>` : html`<p class="none">No body.</p>`}
</section>`;

const Headers = ({ pairs }) =>
  pairs.length > 0 &&
  html`<table class="headers">
    <tbody>
      ${pairs.map(
        ([name, value], i) => html`<tr key=${i}>
          <th scope="row">${name}</th>
          <td>${String(value)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
