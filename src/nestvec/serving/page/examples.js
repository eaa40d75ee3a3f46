/** The test queries that gained and lost most, to be tried. */

import { make } from "./dom.js";
import { label, named } from "./formatting.js";

/**
 * @param {HTMLElement} place
 * @param {Run} run
 * @param {(query: string) => void} choose
 * @returns {(query: string) => void} marks the one that is shown
 */
export function offer(place, run, choose) {
  const { examples } = run.facts;
  const groups = examples ? [["Gained most", examples.gained], ["Lost most", examples.lost]] : [];
  const filled = groups.filter(([, changes]) => changes.length);
  place.hidden = !filled.length;
  if (!filled.length) return () => {};
  place.querySelector(".caption").textContent =
    `${label("recall@10")} of each, from ${named(examples.before)} to ${named(examples.after)}`;
  place.querySelector(".lists").replaceChildren(
    ...filled.map(([title, changes]) => {
      const id = title.toLowerCase().replace(" ", "-");
      const items = changes.map((change) => make("li", {}, button(change, choose)));
      return make("div", {}, make("h3", { id }, title), make("ul", { "aria-labelledby": id }, ...items));
    }),
  );
  return (query) => {
    for (const one of place.querySelectorAll("button")) one.setAttribute("aria-pressed", one.dataset.query === query);
  };
}

function button({ query, before, after }, choose) {
  const moved = make("span", { class: "from" }, `${before.toFixed(2)} → ${after.toFixed(2)}`);
  const text = make("span", { dir: "auto" }, query);
  const made = make("button", { type: "button", "data-query": query }, text, " ", moved);
  made.addEventListener("click", () => choose(query));
  return made;
}
