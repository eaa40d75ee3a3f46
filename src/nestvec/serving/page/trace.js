/** The same document in every column, marked while one of its rows is pointed at. */

/** @param {HTMLElement} place what holds the columns */
export function trace(place) {
  const mark = (id) => {
    for (const row of place.querySelectorAll("li")) row.classList.toggle("traced", row.dataset.id === id);
  };
  place.addEventListener("pointerover", ({ target }) => mark(target.closest("li")?.dataset.id));
  place.addEventListener("pointerleave", () => mark(undefined));
}
