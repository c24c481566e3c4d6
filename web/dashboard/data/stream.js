// Server-sent events read with fetch, because EventSource cannot send a token.

/** Yields {event, data} until the stream ends. Throws what fetch throws, or a Refusal. */
export async function* events(path, token, signal) {
  const answer = await fetch(path, {
    headers: { "X-Auth-Token": token, Accept: "text/event-stream" },
    cache: "no-store",
    signal,
  });
  if (!answer.ok) throw new Refusal(answer.status);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const parsed = parse(block);
        if (parsed.data) yield parsed;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // It may have failed already; there is nothing left to end.
  }
}

export class Refusal extends Error {
  constructor(status) {
    super(`the server answered ${status}`);
    this.status = status;
  }
}

function parse(block) {
  const parsed = { event: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) parsed.event = line.slice(6).trim();
    if (line.startsWith("data:")) parsed.data += line.slice(5);
  }
  return parsed;
}
