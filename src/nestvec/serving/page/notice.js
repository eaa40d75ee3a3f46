/** What stands in the way of an answer: a message, or a key to be given. */

import { hasKey, keep } from "./api.js";
import { by } from "./dom.js";
import { plural, sentence } from "./formatting.js";

/**
 * Show what went wrong; null takes it away.
 * @param {string | null} message
 * @param {() => void} [again] what the button does; without it there is none
 */
export function notice(message, again) {
  by("notice").hidden = message === null;
  if (message === null) return;
  by("notice").querySelector("p").textContent = sentence(message);
  by("notice").querySelector("button").hidden = !again;
  by("notice").querySelector("button").onclick = again;
}

/** Say that the server will be asked again. */
export function waiting({ message, wait }) {
  notice(`${sentence(message)} Trying again in ${plural(wait, "second")}.`);
}

/** Whether a key is asked for. */
export const locked = () => !by("key").hidden;

/** Ask for a key, then go on. */
export function unlock(then) {
  const form = by("key");
  by("refused").hidden = !hasKey();
  by("api").hidden = true; // a link cannot bring a key
  form.hidden = false;
  document.body.dataset.state = "locked";
  by("secret").value = "";
  by("secret").focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    keep(by("secret").value);
    form.hidden = true;
    then();
  };
}
