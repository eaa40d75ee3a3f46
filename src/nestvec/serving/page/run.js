/** The run that is served: its systems and the points that were measured. */

import { styleIndices } from "./system_styles.js";

const SHOWN = 5; // systems beside each other, unless more are asked for

export class Run {
  /** @param {object} facts the answer of GET /v1/run */
  constructor(facts) {
    this.facts = facts;
    this.systems = facts.systems.map(({ name }) => name);
    this.styleIndices = styleIndices(this.systems);
    const points = facts.systems.flatMap((system) => system.points).filter((point) => point.dimension !== null);
    /** The dimensions that were measured, ascending. */
    this.dimensions = [...new Set(points.map((point) => point.dimension))].sort((a, b) => a - b);
    /** The precisions that were measured, largest first, as the surface has them. */
    this.precisions = [...new Set(points.map((point) => point.precision))];
    /** Whether any vectors were turned to the documents' principal axes before they were cut. */
    this.hasAxes = points.some((point) => point.axes);
    const whole = facts.systems[0].points[0].metrics;
    /** The metric that the run was decided by. */
    this.metric = facts.metric in whole ? facts.metric : Object.keys(whole)[0];
    /**
     * What to begin with: dimension, precision, axes and, where fused search is recommended, words at their fitted
     * weight. BM25 can be the default; it has no dimension and no precision.
     */
    this.start = {
      dimension: facts.default.dimension ?? this.dimensions.at(-1) ?? null,
      precision: facts.default.precision ?? this.precisions[0] ?? null,
      axes: facts.default.axes ?? false,
      ...(facts.keyword_search.recommended ? { words: "fitted" } : {}),
    };
  }

  /** Whether a system ranks by vectors, as all but BM25 do. */
  hasVectors(system) {
    return this.points(system)[0].dimension !== null;
  }

  /** The system whose sizes and weights stand for all of them: the default, where it has vectors. */
  get main() {
    const vectors = this.systems.filter((system) => this.hasVectors(system));
    return vectors.includes(this.facts.default.system) ? this.facts.default.system : vectors[0];
  }

  /** Whether any point was measured beside keyword search, too. */
  get isMeasuredFused() {
    return this.facts.systems.some(({ points }) => points.some((point) => point.fused?.metrics));
  }

  /** All points of a system. */
  points(system) {
    return this.facts.systems.find(({ name }) => name === system).points;
  }

  /**
   * The point of a system that stands for a dimension, a precision and axes: itself where it was measured, else the
   * nearest that was: of the same precision if there is one, no wider if there is one, and then cut in the same way.
   */
  point(system, { dimension, precision, axes }) {
    const all = this.points(system);
    const alike = all.filter((point) => point.precision === precision);
    const fits = (point) => Number(point.axes === axes);
    const sorted = [...(alike.length ? alike : all)].sort((a, b) => a.dimension - b.dimension || fits(a) - fits(b));
    return sorted.filter((point) => point.dimension <= dimension).at(-1) ?? sorted[0];
  }

  /** The weight of the words, in per cent, at a point with vectors; null where the vectors rank alone. */
  words(point, view) {
    if (point.dimension === null || view.words === null) return null;
    return view.words === "fitted" ? Math.round(100 * point.fused.weight) : view.words;
  }

  /** What was measured of a point as it is searched; null where nobody measured it with such a weight. */
  measured(point, view) {
    const words = this.words(point, view);
    if (!words) return point.metrics;
    if (words === 100) return this.systems.includes("bm25") ? this.points("bm25")[0].metrics : null;
    return words === Math.round(100 * point.fused.weight) ? point.fused.metrics : null;
  }

  /** The value that the plot shows of a point: with words at its fitted weight where that was measured. */
  plotted(point, view) {
    const fused = view.words === null ? null : point.fused?.metrics;
    return (fused ?? point.metrics)[this.metric];
  }

  /** The systems shown at first: all, or as many as fit, hybrids last and BM25 always among them. */
  get first() {
    if (this.systems.length <= SHOWN) return this.systems;
    const plain = this.systems.filter((name) => !name.includes("+"));
    const wanted = new Set(["bm25", this.facts.default.system, ...plain, ...this.systems]);
    const chosen = [...wanted].filter((name) => this.systems.includes(name)).slice(0, SHOWN);
    return this.systems.filter((name) => chosen.includes(name));
  }
}
