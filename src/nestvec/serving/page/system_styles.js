/** How a system looks, here as in the report: a colour (page.css, `.s0` …), a marker and a line. */

import { draw } from "./dom.js";

const INDICES = {
  pretrained: 0, mnr: 1, matryoshka: 2, bm25: 3, graded: 4,
  cosine: 6, "cosine-matryoshka": 5, cosent: 8, "cosent-matryoshka": 9, adapted: 7,
};

const CROSS = "M-.4-1H.4V-.4H1V.4H.4V1H-.4V.4H-1V-.4H-.4Z";
const STYLES = [
  ["M-.9-.9H.9V.9H-.9Z", "9 4"],
  ["M0-1.1L1 .8H-1Z", "12 3 3 3"],
  ["M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0Z", ""],
  ["M0-1.2L1.2 0L0 1.2L-1.2 0Z", "2 3.2"],
  ["M0 1.1L1-.8H-1Z", "5 3"],
  [CROSS, "16 5"],
  ["M-1-.5L-.5-1L0-.5L.5-1L1-.5L.5 0L1 .5L.5 1L0 .5L-.5 1L-1 .5L-.5 0Z", "7 2 2 2"],
  ["M0-1.2L.3-.4L1.1-.4L.45.15L.7 1L0 .5L-.7 1L-.45.15L-1.1-.4L-.3-.4Z", "4 2"],
  ["M-1.1 0L.8-1V1Z", "9 2 2 2 2 2"],
  ["M1.1 0L-.8-1V1Z", "2 2"],
  ["M0-1.1L1.05-.34L.65.9H-.65L-1.05-.34Z", "14 2"],
  ["M0-1.1L.95-.55V.55L0 1.1L-.95 .55V-.55Z", "10 2 4 2"],
];

/** System to its row of the table: known ones always look the same, others take what is left, in order. */
export function styleIndices(systems) {
  const taken = new Set(Object.values(INDICES));
  const left = [...STYLES.keys()].filter((index) => !taken.has(index));
  const others = systems.filter((name) => !(name in INDICES));
  return new Map(systems.map((name) => [name, INDICES[name] ?? left[others.indexOf(name) % left.length]]));
}

/** The dashes of a system's line, as `stroke-dasharray`. */
export const dashes = (index) => STYLES[index][1];

/** A system's marker around (x, y), of this radius in pixels. */
export const marker = (index, x, y, radius, name) =>
  draw("path", { d: STYLES[index][0], transform: `translate(${x} ${y}) scale(${radius})`, class: name });

/** A piece of a system's line with its marker, for a legend. */
export const sample = (index) =>
  draw(
    "svg", { class: `sample s${index}`, viewBox: "0 0 26 12", width: 26, height: 12, "aria-hidden": "true" },
    draw("path", { d: "M0 6H26", class: "line", "stroke-dasharray": dashes(index) }),
    marker(index, 13, 6, 4, "mark"),
  );
