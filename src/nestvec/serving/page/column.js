/** One system: what it costs, how well it does, and what it finds. */

import { make } from "./dom.js";
import { slideHits } from "./slide_hits.js";
import { brief, count, interval, label, share, time } from "./formatting.js";

/**
 * @typedef {object} Shown what a column shows
 * @property {object} point of the surface, with `system`
 * @property {boolean} exact whether it is the point that was asked for
 * @property {object | undefined} answer of POST /v1/search
 * @property {Error | undefined} failure
 * @property {boolean} pending whether the answer shown is an older one
 * @property {number | null} words their weight in per cent; null where the system ranks alone
 * @property {object | null} measured the metrics of the point as it is searched; null where nobody measured it
 * @property {{answer: object | undefined, name: string} | null} reference what this column is compared with
 */

export class Column {
  #point = make("p", { class: "point" });
  #facts = make("dl");
  #state = make("p", { class: "state" });
  #list = make("ol");
  #compared; // the answer that the list was compared with
  answer; // what the list shows

  constructor(system, place) {
    const id = `column-${encodeURIComponent(system)}`;
    const name = make("h2", { id, class: "system" }, system);
    const head = make("div", { class: "head" }, this.#point, this.#facts, this.#state);
    const attributes = { class: `column s${place}`, id: `of-${id}`, "aria-labelledby": id };
    this.element = make("section", attributes, name, head, this.#list);
  }

  /** @param {Shown} shown */
  show(shown, metric) {
    const { answer, reference } = shown;
    this.element.classList.toggle("pending", shown.pending);
    this.element.setAttribute("aria-busy", shown.pending);
    this.#point.textContent = placed(shown);
    this.#point.classList.toggle("other", !shown.exact);
    this.#facts.replaceChildren(...facts(shown, metric));
    this.#state.textContent = state(shown);
    if (shown.pending || (answer === this.answer && reference?.answer === this.#compared)) return;
    const same = answer && this.answer && query(answer) === query(this.answer);
    const change = () => this.#list.replaceChildren(...rows(answer, reference));
    same ? slideHits(this.#list, change) : change();
    [this.answer, this.#compared] = [answer, reference?.answer];
    this.fold();
  }

  /** Offer the rest of each text that is cut off. */
  fold() {
    const texts = [...this.#list.querySelectorAll(".text:not(.whole)")];
    const cut = texts.map((text) => text.scrollHeight > text.clientHeight + 1); // all read before any is written
    texts.forEach((text, place) => (text.parentElement.querySelector("button").hidden = !cut[place]));
  }
}

const query = (answer) => answer.results[0].query;

/** The hits that count: BM25 gives a document without a common word the score 0. */
export const hits = (answer) => {
  const all = answer?.results[0].hits ?? [];
  return answer?.dimension === null ? all.filter((hit) => hit.score > 0) : all;
};

function placed({ point, exact, words }) {
  if (point.dimension === null) return "keyword search";
  if (words === 100) return "words alone";
  const with_ = words ? `, with ${words} % words` : words === 0 ? ", alone" : "";
  const numbers = point.axes ? "principal axes" : "dimensions";
  const found = `${count(point.dimension)} ${numbers}, ${point.precision}${with_}`;
  return exact ? found : `${found} (nearest measured point)`;
}

/** The figures of a column: what was measured of the point, and what the answer says. */
function facts({ point, words, measured, answer }, metric) {
  const value = measured?.[metric];
  const alone = words === null ? null : point.metrics[metric];
  const bytes = point.bytes_per_vector;
  return [
    value ? fact(label(metric), share(value.value), interval(value)) : fact(label(metric), "–", "not measured"),
    ...(alone ? [fact("Alone", share(alone.value), interval(alone))] : []),
    bytes === null ? fact("Bytes", "–", "no vectors") : fact("Bytes", count(bytes), "per vector"),
    ...(answer ? answered(answer) : []),
  ];
}

function* answered(answer) {
  const { dimension, encode_ms: encode, search_ms: search } = answer;
  const { judged } = answer.results[0];
  yield fact("Time", time(encode + search), `${dimension === null ? "no" : brief(encode)} encoding`, "answered");
  if (!judged) return;
  const relevant = hits(answer).filter((hit) => hit.relevant).length;
  yield fact("Relevant", `${relevant} of ${judged.relevant}`, "in the first ten", "answered");
}

function fact(term, value, note, kind = null) {
  const told = make("dd", {}, make("b", {}, value), " ", make("small", {}, note));
  return make("div", { class: kind }, make("dt", {}, term), told);
}

function state({ answer, failure, pending }) {
  if (failure) return "The search failed.";
  if (!answer) return pending ? "Searching …" : "";
  if (hits(answer).length) return "";
  return answer.dimension === null ? "No document contains a word of the query." : "No documents found.";
}

function rows(answer, reference) {
  const before = new Map(hits(reference?.answer).map((hit) => [hit.id, hit.rank]));
  const compared = reference?.answer && answer && query(reference.answer) === query(answer);
  return hits(answer).map((hit) => {
    const rank = make("b", {}, make("span", { class: "hidden" }, "Rank "), String(hit.rank));
    const notes = make("p", { class: "notes" }, rank);
    if (compared) notes.append(" ", move(hit, before.get(hit.id), reference.name));
    notes.append(" ", make("span", { class: "score", title: `score of document ${hit.id}` }, share(hit.score)));
    const text = make("p", { class: "text", dir: "auto" }, hit.text);
    const foot = make("div", { class: "foot" }, unfold(text));
    if (answer.results[0].judged) foot.prepend(grade(hit));
    return make("li", { "data-id": hit.id }, notes, text, foot);
  });
}

/** What shows all of a text; `fold` offers it where the text is cut off. */
function unfold(text) {
  const more = make("button", { type: "button", class: "link", hidden: true, "aria-expanded": "false" }, "more");
  more.addEventListener("click", () => {
    const whole = text.classList.toggle("whole");
    more.textContent = whole ? "less" : "more";
    more.setAttribute("aria-expanded", whole);
  });
  return more;
}

function grade({ grade, relevant }) {
  if (grade === null) return make("p", { class: "grade unjudged" }, "not judged");
  const said = `${relevant ? "relevant" : "not relevant"}, ${grade.toFixed(2).replace(/\.?0+$/, "")}`;
  return make("p", { class: `grade ${relevant ? "relevant" : "irrelevant"}` }, said);
}

/** Where a hit stands, compared with another column: words and a sign. */
function move({ rank }, before, system) {
  const [name, sign, said] =
    before === undefined ? ["new", "+", "new"]
    : before === rank ? ["same", "=", "same"]
    : before > rank ? ["up", "↑", `up from ${before}`]
    : ["down", "↓", `down from ${before}`];
  const title = before === undefined ? `not among the first ten of ${system}` : `rank ${before} in ${system}`;
  return make("span", { class: `move ${name}`, title }, make("span", { "aria-hidden": "true" }, sign), ` ${said}`);
}
