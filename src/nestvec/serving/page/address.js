/** The view in the address: ?q=hammer&d=48&p=int8&a=yes&w=55&s=mnr,bm25&x=bytes. What stands as at first is left out. */

/**
 * @typedef {object} View
 * @property {string} query
 * @property {number | null} dimension
 * @property {string | null} precision
 * @property {boolean} axes whether vectors are turned to principal axes, where that was measured
 * @property {"fitted" | number | null} words their weight beside the vectors, in per cent; null: vectors alone
 * @property {string[]} systems those shown, in the run's order
 * @property {"dimension" | "bytes"} axis of the plot
 */

let last = null; // what kind of change made the present entry of the history

/** @returns {View} what the address asks for, where the run has it. */
export function read(run) {
  const asked = new URLSearchParams(location.search);
  const one = (name, known, otherwise) => known.find((value) => String(value) === asked.get(name)) ?? otherwise;
  const names = (asked.get("s") ?? "").split(",");
  const systems = run.systems.filter((name) => names.includes(name));
  return {
    query: asked.get("q") ?? "",
    dimension: one("d", run.dimensions, run.start.dimension),
    precision: one("p", run.precisions, run.start.precision),
    axes: one("a", ["yes", "no"], run.start.axes ? "yes" : "no") === "yes" && run.hasAxes,
    words: weight(asked.get("w"), run.start.words ?? null),
    systems: systems.length ? systems : run.first,
    axis: one("x", ["dimension", "bytes"], "dimension"),
  };
}

/**
 * Put the view into the address. A row of changes of one kind, such as the letters of a word, is one entry of the
 * history, so that "back" undoes what a person would call one step.
 * @param {"typing" | "sliding" | "weighing" | "jump"} kind a jump is always an entry of its own.
 */
export function write(view, run, kind) {
  const said = new URLSearchParams();
  if (view.query) said.set("q", view.query);
  if (view.dimension !== run.start.dimension) said.set("d", view.dimension);
  if (view.precision !== run.start.precision) said.set("p", view.precision);
  if (view.axes !== run.start.axes) said.set("a", view.axes ? "yes" : "no");
  if (view.words !== (run.start.words ?? null)) said.set("w", view.words ?? "none");
  if (String(view.systems) !== String(run.first)) said.set("s", view.systems);
  if (view.axis !== "dimension") said.set("x", view.axis);
  const search = String(said) && `?${said}`;
  if (search !== location.search) {
    const same = kind === last && kind !== "jump";
    history[same ? "replaceState" : "pushState"](null, "", location.pathname + search);
  }
  last = kind;
}

/** "fitted" or a whole number from 0 to 100; null for any other text, `otherwise` where the address names no weight. */
function weight(text, otherwise) {
  if (text === null || text === "fitted") return text ?? otherwise;
  return /^(\d\d?|100)$/.test(text) ? Number(text) : null;
}

/** Call when the address changes by "back" or "forward". */
export function follow(moved) {
  addEventListener("popstate", () => {
    last = null;
    moved();
  });
}
