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

  /** The answer for a query at a point, if it is there. */
  answer(query, point) {
    return this.#answers.get(name(query, point));
  }

  /** Why there is none. */
  failure(query, point) {
    return this.#failures.get(name(query, point));
  }

  /** Whether anything is on its way. */
  get busy() {
    return this.#asked.size > 0;
  }

  /** Ask for a query at these points, and for nothing else. */
  seek(query, points) {
    const wanted = new Map(query ? points.map((point) => [name(query, point), point]) : []);
    for (const [key, controller] of this.#asked) {
      if (!wanted.has(key)) this.#drop(key, controller);
    }
    for (const [key, point] of wanted) {
      if (!this.#answers.has(key) && !this.#asked.has(key)) this.#ask(key, query, point);
    }
  }

  #drop(key, controller) {
    this.#asked.delete(key);
    controller.abort();
  }

  async #ask(key, query, { system, dimension, precision }) {
    const controller = new AbortController();
    this.#asked.set(key, controller);
    this.#failures.delete(key);
    const body = { query, k: SHOWN, system };
    if (dimension !== null) Object.assign(body, { dimension, precision });
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

const name = (query, { system, dimension, precision }) => JSON.stringify([query, system, dimension, precision]);
