// Asks the API, with the caller's key when there is one.

const KEPT = "tidemark-key";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function useKey(key) {
  sessionStorage.setItem(KEPT, key);
}

function headers() {
  const key = sessionStorage.getItem(KEPT);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function check(answer) {
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail || `the server answered ${answer.status}`);
}

export async function get(path) {
  return (await check(await fetch(path, { headers: headers() }))).json();
}

export async function health() {
  // A problem that names what is away is an answer too.
  return (await fetch("/health/ready")).json();
}

// Server-sent events over fetch: EventSource cannot send a key.
export async function* stream(path, lastId, signal) {
  const more = lastId ? { "Last-Event-ID": lastId } : {};
  const answer = await check(await fetch(path, { headers: { ...headers(), ...more }, signal }));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  yield null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
      const data = lines.filter(([name]) => name === "data").map(([, rest]) => rest).join("\n");
      const id = lines.filter(([name]) => name === "id").map(([, rest]) => rest)[0];
      if (data) yield { id, data: JSON.parse(data) };
    }
  }
}
