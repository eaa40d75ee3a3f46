/** Numbers as the page writes them; the only place that rounds. */

const LABELS = { "recall@10": "recall@10", "ndcg@10": "nDCG@10", "mrr@10": "MRR@10" };

/** 45,784 */
export const count = (number) => number.toLocaleString("en-US");

/** 0.474 */
export const share = (number) => number.toFixed(3);

/** [0.454, 0.494] */
export const interval = ({ low, high }) => `[${share(low)}, ${share(high)}]`;

/** A metric's name, as people write it. */
export const label = (metric) => LABELS[metric] ?? metric;

/** 9.4, 38 */
export const brief = (number) => (number < 9.95 ? number.toFixed(1) : count(Math.round(number)));

/** 9.4 ms */
export const time = (ms) => `${brief(ms)} ms`;

/** 2.2 MB, in powers of 1,000. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let place = 0;
  for (; bytes >= 1000 && place < units.length - 1; place++) bytes /= 1000;
  return `${place && bytes < 99.5 ? bytes.toFixed(1) : count(Math.round(bytes))} ${units[place]}`;
}

/** mnr 48 int8, mnr 48 axes int8, mnr 48 int8 + keyword search */
export const named = ({ system, dimension, precision, axes, mode, words }) => {
  const vectors = [system, dimension, axes ? "axes" : null, precision].filter((part) => part != null).join(" ");
  return mode === "fused" || words === "fitted" ? `${vectors} + keyword search` : vectors;
};

/** mnr + keyword search, where both rank; mnr where `words`, their weight in per cent, leaves but one of them. */
export const fused = (system, words) => (words > 0 && words < 100 ? `${system} + keyword search` : system);

/** 1 result, 2 results */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A server's message as a sentence. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.!?])$/, "$1.");

/** a, b and c */
export const listed = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
