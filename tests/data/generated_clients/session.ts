// A session with the client that openapi-typescript makes: compiled, so that its types are right, and run.
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

const [baseUrl, token, account] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl, headers: { "X-Auth-Token": token } });
const path = { account_id: account };

function is<T>(found: T, expected: T): void {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
  }
}

function given<T>(found: T | undefined): T {
  if (found === undefined) throw new Error("nothing was found");
  return found;
}

const hook: components["schemas"]["NewHook"] = {
  name: "orders",
  uri: "https://hooks.example.com/ts",
  hook: "event",
  filter: "total > `100`",
};
const made = await client.PUT("/v2/accounts/{account_id}/webhooks", {
  params: { path },
  body: { data: hook },
});
const { id, uri } = given(made.data).data;
is(uri, hook.uri);

const hook_id = id;
const changed = await client.PATCH("/v2/accounts/{account_id}/webhooks/{hook_id}", {
  params: { path: { ...path, hook_id } },
  body: { data: { name: "large orders" } },
});
is(given(changed.data).data.name, "large orders");

const stale = await client.PATCH("/v2/accounts/{account_id}/webhooks/{hook_id}", {
  params: { path: { ...path, hook_id }, header: { "If-Match": '"1-old"' } },
  body: { data: { name: "too late" } },
});
is(stale.response.status, 412);
is(given(stale.error).status, "error");

const page = await client.GET("/v2/accounts/{account_id}/webhooks", {
  params: { path, query: { page_size: 10, filter: { filter_hook: "event" } } },
});
is(given(page.data).data.map((one) => one.id), [id]);

const preview = await client.POST("/v2/accounts/{account_id}/webhooks/preview", {
  params: { path },
  body: { data: { hook_id, payload: { total: 120 } } },
});
is(given(preview.data).data.sent, true);

const secret = await client.PUT("/v2/accounts/{account_id}/webhooks/{hook_id}/secrets", {
  params: { path: { ...path, hook_id } },
  body: { data: { kind: "hmac-sha256" } },
});
is(given(secret.data).data.secret?.slice(0, 6), "whsec_");

const events: components["schemas"]["PostedEvent"][] = [1, 2].map((n) => ({
  name: "order.paid",
  account_id: account,
  payload: { total: 100 * n },
}));
const posted = await client.POST("/v2/events", { params: {}, body: { data: events } });
const ids = given(posted.data).data;
is(Array.isArray(ids) && ids.length, 2);

const gone = await client.DELETE("/v2/accounts/{account_id}/webhooks/{hook_id}", {
  params: { path: { ...path, hook_id } },
});
is(given(gone.data).data._read_only.deleted, true);

const wrong: Middleware = {
  onRequest({ request }) {
    request.headers.set("X-Auth-Token", "wrong");
  },
};
client.use(wrong);
const refused = await client.GET("/v2/callboard/tree");
is(refused.response.status, 401);
is(given(refused.error).error, "401");
console.log("done");
