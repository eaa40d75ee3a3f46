/** The surface as a drawing: a metric by dimension or by bytes, with the points that are searched now. */

import { draw } from "./dom.js";
import { dashes, marker } from "./system_styles.js";
import { count, label, named, share } from "./formatting.js";

const MARGIN = { left: 34, right: 10, top: 8, bottom: 22 }; // pixels
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2]; // between lines of the grid

/**
 * @param {Run} run
 * @param {View} view
 * @param {number} width in pixels
 * @returns {{svg: SVGElement, near: (x: number, y: number) => object | undefined}} the drawing, and which point of it
 *   is nearest to a place in pixels
 */
export function plot(run, view, width) {
  const height = Math.round(Math.min(260, Math.max(190, width * 0.75)));
  const axes = scales(run, view, width, height);
  const at = (point) => [axes.x(place(point, view)), axes.y(run.plotted(point, view).value)];
  const lines = view.systems.filter((system) => run.hasVectors(system));
  const frame = { viewBox: `0 0 ${width} ${height}`, width, height };
  const svg = draw("svg", { ...frame, role: "img", "aria-label": told(run, view) });
  svg.append(...grid(axes, width, height));
  const spots = [];
  for (const system of view.systems) {
    const group = draw("g", { class: `s${run.styleIndices.get(system)}`, "data-system": system });
    if (!lines.includes(system)) level(group, run, system, axes, width);
    else spots.push(...line(group, run, view, system, axes, at));
    svg.append(group);
  }
  for (const system of lines) svg.append(ring(run, view, system, at));
  const near = (x, y) => least(spots, (spot) => Math.hypot(spot.x - x, spot.y - y))?.point;
  return { svg, near };
}

const place = (point, view) => (view.axis === "bytes" ? point.bytes_per_vector : point.dimension);

/** Both axes as functions to pixels; the same for every precision, alone and fused, so that the eye can compare. */
function scales(run, view, width, height) {
  const points = view.systems.flatMap((system) => run.points(system));
  const across = points.filter((point) => point.dimension !== null).map((point) => place(point, view));
  const [first, last] = [Math.min(...across), Math.max(...across)];
  const spread = Math.log(last / first) || 1;
  const metrics = points.flatMap((point) => [point.metrics, point.fused?.metrics]).filter(Boolean);
  const measured = metrics.map((of) => of[run.metric]);
  const low = Math.min(...measured.map((one) => one.low));
  const high = Math.max(...measured.map((one) => one.high));
  const step = STEPS.find((one) => (high - low) / one <= 5) ?? STEPS.at(-1);
  const [bottom, top] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  const inner = { width: width - MARGIN.left - MARGIN.right - 16, height: height - MARGIN.top - MARGIN.bottom };
  return {
    x: (value) => MARGIN.left + 8 + (Math.log(value / first) / spread) * inner.width,
    y: (value) => MARGIN.top + ((top - value) / (top - bottom)) * inner.height,
    columns: ticks([...new Set(across)].sort((a, b) => a - b), inner.width / spread),
    rows: Array.from({ length: Math.round((top - bottom) / step) + 1 }, (_, row) => bottom + row * step),
    decimals: step < 0.1 ? 2 : 1,
  };
}

/** Values with room for their number: the largest, and what lies far enough below the one before. */
function ticks(values, scale) {
  const kept = [];
  for (const value of values.reverse()) {
    if (!kept.length || scale * Math.log(kept.at(-1) / value) >= 30) kept.push(value);
  }
  return kept;
}

function grid({ x, y, columns, rows, decimals }, width, height) {
  const across = rows.flatMap((value) => [
    draw("path", { d: `M${MARGIN.left} ${y(value)}H${width - MARGIN.right}`, class: "rule" }),
    draw("text", { x: MARGIN.left - 6, y: y(value), dy: "0.32em", "text-anchor": "end" }, value.toFixed(decimals)),
  ]);
  const down = columns.map((value) =>
    draw("text", { x: x(value), y: height - 6, "text-anchor": "middle" }, count(value)),
  );
  return [...across, ...down];
}

/** BM25: one value with its interval, all the way across. */
function level(group, run, system, { y }, width) {
  const { value, low, high } = run.points(system)[0].metrics[run.metric];
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const dashed = { class: "line", "stroke-dasharray": dashes(run.styleIndices.get(system)) };
  group.append(
    draw("path", { d: `M${left} ${y(high)}H${right}V${y(low)}H${left}Z`, class: "band" }),
    draw("path", { d: `M${left} ${y(value)}H${right}`, ...dashed }),
  );
}

/** A system's line at the precision chosen; by bytes, its other points too. Returns where its points stand. */
function line(group, run, view, system, { x, y }, at) {
  const style = run.styleIndices.get(system);
  const { precision } = run.point(system, view); // as near as was measured
  const all = run.points(system);
  const widths = [...new Set(all.filter((point) => point.precision === precision).map((point) => point.dimension))];
  const chosen = widths
    .sort((a, b) => a - b)
    .map((dimension) => run.point(system, { dimension, precision, axes: view.axes }));
  const edge = (side) => chosen.map((point) => `${x(place(point, view))} ${y(run.plotted(point, view)[side])}`);
  group.append(
    draw("path", { d: `M${[...edge("low"), ...edge("high").reverse()].join("L")}Z`, class: "band" }),
    draw("path", { d: `M${edge("value").join("L")}`, class: "line", "stroke-dasharray": dashes(style) }),
  );
  const shown = view.axis === "bytes" ? all : chosen;
  for (const point of shown) {
    const look = chosen.includes(point) ? [4, "mark"] : [2.5, "mark faint"];
    group.append(marker(style, ...at(point), ...look));
  }
  return shown.map((point) => ({ point, x: at(point)[0], y: at(point)[1] }));
}

/** Marks the point of a system that is searched. */
function ring(run, view, system, at) {
  const point = run.point(system, view);
  const [x, y] = at(point);
  const attributes = {
    cx: x, cy: y, r: 8, class: "ring",
    "data-system": system, "data-dimension": point.dimension, "data-precision": point.precision,
  };
  return draw("circle", attributes);
}

/** The drawing in words. */
function told(run, view) {
  const values = view.systems.map((system) => {
    const point = run.point(system, view);
    return `${named({ system, ...point })} ${share(run.plotted(point, view).value)}`;
  });
  const axis = view.axis === "bytes" ? "bytes per vector" : "dimension";
  return `${label(run.metric)} by ${axis}. Searched now: ${values.join(", ")}.`;
}

function least(values, weight) {
  return values.reduce((best, one) => (best === undefined || weight(one) < weight(best) ? one : best), undefined);
}
