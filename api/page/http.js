// Requests to the service, with the key, and its problem details (RFC 9457) as errors. Paths are relative, so that the
// page works below a proxy's path too.

import { askForKey, authorization, key } from "./key.js";

export class Problem extends Error {
  constructor(status, body = {}) {
    super(body.detail || `The service answered with ${status}.`);
    this.status = status;
    this.hint = body.hint ?? "";
    this.code = body.code ?? "";
    this.retryable = body.retryable ?? false;
  }
}

export const unreachable = () =>
  new Problem(0, { detail: "The service cannot be reached.", hint: "Is openbook serve running? Try again when it is.", retryable: true });

/** A response that is well. A key is asked for where one is needed, unless ``quiet``. */
export async function call(method, path, { json, signal, quiet = false } = {}) {
  for (;;) {
    const used = key();
    const headers = { ...authorization(), ...(json === undefined ? {} : { "Content-Type": "application/json" }) };
    const body = json === undefined ? undefined : JSON.stringify(json);
    let response;
    try {
      response = await fetch(path, { method, headers, body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw unreachable();
    }
    if (response.ok) return response;
    const problem = new Problem(response.status, await bodyOf(response));
    if (quiet || !needsKey(problem.status)) throw problem;
    if (key() === used && !(await askForKey(why(problem, used)))) throw problem;
  }
}

export const needsKey = (status) => status === 401 || status === 403;

export function why(problem, used) {
  return used ? `The key that was given does not do for this: ${problem.message}` : "This needs a key of the service.";
}

async function bodyOf(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

export const getJson = async (path, options) => (await call("GET", path, options)).json();

/** "?a=1&b=2&b=3"; null leaves one out, an array repeats it. */
export function query(values) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") made.append(name, each);
    }
  }
  return made.size ? `?${made}` : "";
}

/** Server-sent events of a response, each with its name and its data. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const event = parsed(part);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(part) {
  let name = "message";
  const data = [];
  for (const line of part.split(/\r?\n/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
