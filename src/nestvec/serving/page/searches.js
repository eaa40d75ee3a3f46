/** What was asked and answered. What nobody waits for any more is dropped; what is known is not asked again. */

import { ask } from "./api.js";

const KEPT = 400; // answers
export const SHOWN = 10; // hits of an answer

export class Searches {
  #answers = new Map(); // in the order in which they came
  #failures = new Map();
  #asked = new Map(); // → AbortController

  /** @param {{changed: () => void, waiting: (refusal: Error) => void, failed: (refusal: Error) => void}} told */
  constructor(told) {
    this.told = told;
  }

  /** The answer for a query and how it is asked, if it is there. */
  answer(query, how) {
    return this.#answers.get(name(query, how));
  }

  /** Why there is none. */
  failure(query, how) {
    return this.#failures.get(name(query, how));
  }

  /** Whether anything is on its way. */
  get busy() {
    return this.#asked.size > 0;
  }

  /** Ask for a query in all of these ways, and for nothing else. */
  seek(query, ways) {
    const wanted = new Map(query ? ways.map((how) => [name(query, how), how]) : []);
    for (const [key, controller] of this.#asked) {
      if (!wanted.has(key)) this.#drop(key, controller);
    }
    for (const [key, how] of wanted) {
      if (!this.#answers.has(key) && !this.#asked.has(key)) this.#ask(key, query, how);
    }
  }

  #drop(key, controller) {
    this.#asked.delete(key);
    controller.abort();
  }

  async #ask(key, query, how) {
    const controller = new AbortController();
    this.#asked.set(key, controller);
    this.#failures.delete(key);
    const body = { query, k: SHOWN, ...how };
    try {
      this.#keep(key, await ask("v1/search", { body, signal: controller.signal, waiting: this.told.waiting }));
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#failures.set(key, error);
      this.told.failed(error);
    }
    if (this.#asked.get(key) !== controller) return; // nobody waits for it
    this.#asked.delete(key);
    this.told.changed();
  }

  #keep(key, answer) {
    this.#answers.set(key, answer);
    if (this.#answers.size > KEPT) this.#answers.delete(this.#answers.keys().next().value);
  }
}

const name = (query, how) => JSON.stringify([query, how]);

/**
 * How a point is asked, as POST /v1/search takes it.
 * @param {object} point of the surface, with `system`
 * @param {"fitted" | number | null} words their weight in per cent; at the ends one leg is asked alone
 */
export function way({ system, dimension, precision, axes }, words) {
  if (dimension === null) return { system };
  const point = { system, dimension, precision, ...(axes ? { axes } : {}) };
  if (words === "fitted") return { ...point, mode: "fused" };
  if (words === 100) return { mode: "words" };
  return words ? { ...point, mode: "fused", weight: words / 100 } : point;
}
