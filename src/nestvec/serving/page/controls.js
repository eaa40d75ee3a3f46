/** What is searched with: a dimension, a precision, keyword search beside it, and the systems side by side. */

import { by, make } from "./dom.js";
import { mixture } from "./mixture.js";
import { sample } from "./system_styles.js";
import { count, named, size } from "./formatting.js";

/**
 * @param {Run} run
 * @param {(change: Partial<View>, kind: "sliding" | "weighing" | "jump") => void} choose
 * @returns {(view: View) => void} shows a view
 */
export function controls(run, choose) {
  const slider = by("dimension");
  slider.max = run.dimensions.length - 1;
  slider.addEventListener("input", () => choose({ dimension: run.dimensions[slider.value] }, "sliding"));
  by("ticks").replaceChildren(...run.dimensions.map((dimension) => make("span", {}, count(dimension))));
  const precisions = run.precisions.map((name) => choice("radio", "precision", name, [name]));
  by("precisions").querySelector(".choices").replaceChildren(...precisions);
  by("precisions").addEventListener("change", ({ target }) => choose({ precision: target.value }, "jump"));
  by("turning").hidden = !run.hasAxes;
  by("axes").addEventListener("change", ({ target }) => choose({ axes: target.checked }, "jump"));
  const showMixture = mixture(run, choose);
  const systems = run.systems.map((name) => choice("checkbox", "system", name, [sample(run.styleIndices.get(name)), name]));
  by("systems").querySelector(".systems").replaceChildren(...systems);
  by("systems").addEventListener("change", () => choose({ systems: ticked() }, "jump"));
  by("axis").addEventListener("change", ({ target }) => choose({ axis: target.value }, "jump"));
  by("back").addEventListener("click", () => choose(run.start, "jump"));
  const why = run.facts.decision === "ship" ? "the recommended point: " : "";
  by("back").textContent = `Back to ${why}${named(run.start)}`;
  return (view) => {
    show(run, view);
    showMixture(view);
  };
}

function choice(type, name, value, children) {
  return make("label", {}, make("input", { type, name, value }), make("span", {}, ...children));
}

const ticked = () => [...by("systems").querySelectorAll(":checked")].map((box) => box.value);

function show(run, view) {
  const slider = by("dimension");
  const place = run.dimensions.indexOf(view.dimension);
  slider.value = place;
  slider.setAttribute("aria-valuetext", `${view.dimension} dimensions`);
  by("chosen").textContent = count(view.dimension);
  [...by("ticks").children].forEach((tick, index) => tick.classList.toggle("now", index === place));
  for (const radio of by("precisions").querySelectorAll("input")) radio.checked = radio.value === view.precision;
  by("axes").checked = view.axes;
  for (const radio of by("axis").querySelectorAll("input")) radio.checked = radio.value === view.axis;
  for (const box of by("systems").querySelectorAll("input")) {
    box.checked = view.systems.includes(box.value);
    box.disabled = box.checked && view.systems.length === 1; // one is always shown
  }
  by("size").replaceChildren(...costs(run, view));
  by("back").hidden = Object.keys(run.start).every((name) => view[name] === run.start[name]);
}

/** What a vector and all of them take, beside the largest. */
function costs(run, view) {
  const point = run.point(run.main, view);
  const largest = run.points(run.main).reduce((a, b) => (b.bytes_per_vector > a.bytes_per_vector ? b : a));
  const bytes = point.bytes_per_vector;
  const times = largest.bytes_per_vector / bytes;
  const all = size(bytes * run.facts.documents);
  if (times <= 1) return [make("b", {}, `${count(bytes)} bytes`), ` per vector, ${all} for all documents. The largest.`];
  const factor = times < 10 ? Number(times.toFixed(1)) : count(Math.round(times));
  const shrunk = `${factor} times smaller than ${named(largest)}.`;
  const instead = `${all} for all documents instead of ${size(largest.bytes_per_vector * run.facts.documents)}.`;
  return [make("b", {}, `${count(bytes)} bytes`), ` per vector, ${shrunk} ${instead}`];
}
