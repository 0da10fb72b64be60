// Calls the console's server. Nothing else is ever called.

const TOKEN = document.querySelector('meta[name="console-token"]')?.getAttribute("content") ?? "";
const TIMEOUT = 30_000;

/** An answer that is not a success, or none. `status` is 0 if there was none. */
export class Failure extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @param {string} path */
export function get(path) {
  return call("GET", path);
}

/**
 * Change something. Raises a `Failure` that says why not.
 * @param {"POST" | "PUT" | "DELETE"} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 */
export function change(method, path, body, headers = {}) {
  return call(method, path, body, { ...headers, "X-Console-Token": TOKEN });
}

/**
 * The path of a business in the product's REST API, passed through by the server.
 * @param {string} id
 * @param {string} resource
 */
export function businessPath(id, resource) {
  return `/api/rest/businesses/${encodeURIComponent(id)}/${resource}`;
}

/**
 * All pages of a list, at most `most` of them.
 * @param {string} path
 * @param {(page: any) => any[]} entries
 */
export async function getPages(path, entries, most = 5) {
  const found = [];
  let page = await get(path);
  found.push(...entries(page));
  for (let number = 1; page.next && number < most; number += 1) {
    page = await get(`${path}&cursor=${encodeURIComponent(page.next)}`);
    found.push(...entries(page));
  }
  return { entries: found, more: Boolean(page.next) };
}

async function call(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? headers : { ...headers, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch (error) {
    const slow = error instanceof DOMException && error.name === "TimeoutError";
    throw new Failure(slow ? `No answer within ${TIMEOUT / 1000} s.` : "The console's server does not answer.", 0);
  }
  const text = await response.text();
  const document = parsed(text);
  if (response.ok) return document;
  throw new Failure(explanation(response.status, document), response.status);
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

// The server answers {"error": …}; the product answers problem documents.
function explanation(status, document) {
  const errors = Array.isArray(document?.errors)
    ? document.errors.map(({ field, problem }) => `${field} ${problem}`)
    : [];
  const text = document?.error ?? document?.detail ?? document?.title ?? "The answer says no more.";
  return [`${status}: ${text}`, ...errors].join(" · ");
}
