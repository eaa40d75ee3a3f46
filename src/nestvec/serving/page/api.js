/** The server, asked. */

const KEY = "nestvec-key";
const PATIENCE = 60; // seconds: no Retry-After is taken to be longer

/** An answer that is not one: `status` 0 where nobody answered. */
export class Refusal extends Error {
  constructor(status, message, wait = null) {
    super(message);
    this.status = status;
    this.wait = wait; // seconds after which to ask again, or null
  }
}

/** Keep the key for this tab. */
export function keep(key) {
  sessionStorage.setItem(KEY, key);
}

/** Whether a key was given. */
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

/**
 * Ask once.
 * @param {string} path relative to the page
 * @param {object} [body] makes it a POST
 * @param {AbortSignal} [signal]
 * @throws {Refusal} also where the server cannot be reached
 */
async function once(path, body, signal) {
  const headers = {};
  if (hasKey()) headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
    if (answer.ok) return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer.");
  }
  const told = await answer.json().catch(() => null);
  const wait = [429, 503].includes(answer.status) ? Number(answer.headers.get("Retry-After")) || 1 : null;
  throw new Refusal(answer.status, told?.error?.message ?? `The server answered with HTTP status ${answer.status}.`, wait);
}

/**
 * Ask, and ask again for as long as the server says that it will answer later.
 * @param {(refusal: Refusal) => void} [waiting] told before each wait
 */
export async function ask(path, { body, signal, waiting } = {}) {
  for (;;) {
    try {
      return await once(path, body, signal);
    } catch (error) {
      if (!error.wait) throw error;
      waiting?.(error);
      await pause(Math.min(error.wait, PATIENCE), signal);
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
