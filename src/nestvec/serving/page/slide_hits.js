/** Rows of a list slide from where they were, so that the eye can follow a new order. */

const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const HOW = { duration: 280, easing: "cubic-bezier(.2, 0, .1, 1)" };

/**
 * Change a list.
 * @param {HTMLElement} list its rows have a `data-id`
 * @param {() => void} change what puts other rows into it
 */
export function slideHits(list, change) {
  if (CALM.matches) return change();
  const before = new Map([...list.children].map((row) => [row.dataset.id, row.offsetTop]));
  change();
  for (const row of list.children) {
    const from = before.get(row.dataset.id);
    if (from === undefined) row.animate([{ opacity: 0 }, { opacity: 1 }], HOW);
    else if (from !== row.offsetTop) {
      row.animate([{ transform: `translateY(${from - row.offsetTop}px)` }, { transform: "none" }], HOW);
    }
  }
}
