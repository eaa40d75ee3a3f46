/** The same document in every column, marked while one of its rows is pointed at. */

/** @param {HTMLElement} columns what holds the columns */
export function markDocument(columns) {
  const mark = (id) => {
    for (const row of columns.querySelectorAll("li")) row.classList.toggle("traced", row.dataset.id === id);
  };
  columns.addEventListener("pointerover", ({ target }) => mark(target.closest("li")?.dataset.id));
  columns.addEventListener("pointerleave", () => mark(undefined));
}
