// A request as a command of a POSIX shell.

/** curl sets these itself. */
const OWN_HEADERS = ["content-length", "host", "connection", "accept-encoding"];

export function curl({ method, uri, req_headers: headers, req_body: body }) {
  const verb = (method ?? "post").toUpperCase();
  const parts = [`curl -i -X ${quoted(verb)} ${quoted(uri ?? "")}`];
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (!OWN_HEADERS.includes(name.toLowerCase())) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body && verb !== "GET") parts.push(`--data-raw ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

/** One word for the shell, whatever it holds. */
const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
