/** On a narrow screen one column fills the window: tabs name them all and lead to each, as a swipe does. */

import { make } from "./dom.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {HTMLElement} place what holds the columns, and is scrolled sideways
 * @param {HTMLElement} tabs where their names go
 * @returns {(systems: string[]) => void} names the columns, in their order
 */
export function turning(place, tabs) {
  let inSight = -1;
  const mark = () => {
    const distances = [...place.children].map((column) => Math.abs(column.offsetLeft - place.scrollLeft));
    const nearest = distances.indexOf(Math.min(...distances));
    if (nearest === inSight) return;
    inSight = nearest;
    [...tabs.children].forEach((tab, number) => tab.setAttribute("aria-current", number === nearest));
    const tab = tabs.children[nearest]; // brought into sight, without moving the page
    if (tab) tabs.scrollTo({ left: tab.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2 });
  };
  place.addEventListener("scroll", mark, { passive: true });
  return (systems) => {
    const buttons = systems.map((system, number) => {
      const button = make("button", { type: "button" }, system);
      button.addEventListener("click", () =>
        place.scrollTo({ left: place.children[number].offsetLeft, behavior: CALM.matches ? "auto" : "smooth" }),
      );
      return button;
    });
    tabs.replaceChildren(...buttons);
    tabs.hidden = systems.length < 2;
    inSight = -1;
    mark();
  };
}
