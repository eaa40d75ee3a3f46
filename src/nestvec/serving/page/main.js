/** The page: a view (what is asked, at which point, by which systems), shown whenever it or an answer changes. */

import * as address from "./address.js";
import { ask } from "./api.js";
import { Column, hits } from "./column.js";
import { controls } from "./controls.js";
import { by } from "./dom.js";
import { offer } from "./examples.js";
import { locked, notice, unlock, waiting } from "./notice.js";
import { plot } from "./plot.js";
import { Run } from "./run.js";
import { Searches, way } from "./searches.js";
import { markDocument } from "./mark_document.js";
import { count, label, listed, plural, time } from "./formatting.js";

const PAUSE = 120; // milliseconds without a key before what was typed is searched

const KEYBOARD = matchMedia("(hover: hover)"); // where a focus does not call up one on the screen

/** Everything that follows from a run's facts. */
class Bench {
  #timer;
  #columns = new Map(); // system → Column
  #near = () => undefined;

  constructor(run) {
    this.run = run;
    this.searches = new Searches({ changed: () => this.#changed(), waiting, failed: (error) => this.#failed(error) });
    this.showControls = controls(run, (change, kind) => this.go(change, kind));
    this.showExample = offer(by("examples"), run, (query) => this.go({ query }, "jump"));
    this.view = address.read(run);
    this.#introduce();
    this.#listen();
    this.show();
    this.seek();
  }

  /** Change the view. */
  go(change, kind) {
    this.view = { ...this.view, ...change };
    address.write(this.view, this.run, kind);
    this.show();
    clearTimeout(this.#timer);
    if (kind === "typing") this.#timer = setTimeout(() => this.seek(), PAUSE);
    else this.seek();
  }

  /** Ask for what the view lacks. */
  seek() {
    notice(null);
    this.searches.seek(this.query, this.points.flatMap(({ ways }) => ways));
    this.show();
  }

  /** The query as it is searched. */
  get query() {
    return this.view.query.trim();
  }

  /**
   * The point of each system shown, whether it is the very one that was chosen, and how it is asked: beside keyword
   * search also alone, to compare.
   */
  get points() {
    const { dimension, precision, systems, words } = this.view;
    return systems.map((system) => {
      const point = { system, ...this.run.point(system, this.view) };
      const exact = point.dimension === null || (point.dimension === dimension && point.precision === precision);
      const mixed = words !== null && point.dimension !== null;
      return { point, exact, ways: mixed ? [way(point, words), way(point, null)] : [way(point, null)] };
    });
  }

  show() {
    const { view } = this;
    if (!locked()) document.body.dataset.state = this.query ? "results" : "empty";
    document.title = this.query ? `${this.query} – nestvec search` : "nestvec search";
    if (by("query").value !== view.query) by("query").value = view.query;
    this.showControls(view);
    this.showExample(this.query);
    this.#plot();
    this.#results();
  }

  #changed() {
    const ways = this.points.flatMap((one) => one.ways);
    const failed = ways.some((how) => this.searches.failure(this.query, how));
    if (!this.searches.busy && !failed) notice(null); // whatever was waited for is there
    this.#results();
  }

  #plot() {
    const place = by("plot");
    const { svg, near } = plot(this.run, this.view, Math.max(240, place.clientWidth));
    place.replaceChildren(svg);
    const queries = `Mean of ${count(this.run.facts.queries)} test queries`;
    const [beside, measured] = [this.view.words !== null, this.run.isMeasuredFused];
    const lacking = beside && !measured ? "; nothing was measured beside keyword search" : "";
    const how = beside && measured ? " beside keyword search" : "";
    by("measured").textContent = `${queries}${how}, with 95 % intervals${lacking}.`;
    this.#near = near;
  }

  /** Each column with its answer or, until that is there, the one it showed before. */
  #results() {
    const shown = this.points.map(({ point, exact, ways }) => {
      const column = this.#column(point.system);
      const [answer, alone] = ways.map((how) => this.searches.answer(this.query, how));
      const failure = ways.map((how) => this.searches.failure(this.query, how)).find(Boolean);
      const pending = Boolean(this.query && !failure && !(answer && (alone || ways.length === 1)));
      const asked = { words: this.run.words(point, this.view), measured: this.run.measured(point, this.view) };
      return { column, point, exact, failure, pending, alone, answer: pending ? column.answer : answer, ...asked };
    });
    for (const one of shown) one.column.show({ ...one, reference: this.#reference(one, shown[0]) }, this.run.metric);
    this.#place(shown.map((one) => one.column.element));
    this.#tell(shown);
  }

  /** What a column is compared with: beside keyword search the same system alone, else the first column. */
  #reference({ point, alone, column }, first) {
    if (this.view.words === null) return column === first.column ? null : { answer: first.answer, name: first.point.system };
    return point.dimension === null ? null : { answer: alone, name: `${point.system} alone` };
  }

  #place(columns) {
    const place = by("columns");
    if (String(columns.map(({ id }) => id)) === String([...place.children].map(({ id }) => id))) return;
    place.replaceChildren(...columns);
    this.#fit();
  }

  #column(system) {
    if (!this.#columns.has(system)) this.#columns.set(system, new Column(system, this.run.styleIndices.get(system)));
    return this.#columns.get(system);
  }

  /** What was found, for those who do not see it. */
  #tell(shown) {
    const judged = this.query ? shown.find((one) => one.answer && !one.pending)?.answer.results[0].judged : null;
    by("judged").hidden = !judged;
    if (judged) by("judged").textContent = this.#judged(judged);
    const answers = this.query ? shown.filter((one) => one.answer && !one.pending).map(({ answer }) => answer) : [];
    const corrected = answers.map((answer) => answer.results[0].searched_for).find(Boolean); // vectors say none
    by("corrected").hidden = !corrected;
    by("corrected").querySelector("b").textContent = corrected ?? "";
    const beside = this.view.words !== null && shown.some((one) => one.alone);
    const against = beside ? "each system without keyword search" : `${this.view.systems[0]}, the first column`;
    by("compared").hidden = !beside && shown.filter((one) => one.answer).length < 2;
    by("compared").textContent = `Up, down, same and new: compared with ${against}.`;
    if (!this.query) by("said").textContent = "";
    if (!this.query || shown.some((one) => one.pending || one.failure)) return;
    const slowest = Math.max(...shown.map(({ answer }) => answer.encode_ms + answer.search_ms));
    const found = shown.map((one) => `${hits(one.answer).length} from ${one.point.system}`);
    by("said").textContent = `Results: ${listed(found)}, in at most ${time(slowest)}.`;
  }

  #judged({ split, relevant }) {
    const { threshold, grades } = this.run.facts;
    const range = `grades go from ${grades.lowest} to ${grades.highest}`;
    const from = threshold === null ? "" : ` Relevant means a grade of ${threshold} or more; ${range}.`;
    const seen = split === "train" ? " The trained systems have seen it in training." : "";
    return `Judged query of the ${split} split: ${plural(relevant, "relevant document")}.${from}${seen}`;
  }

  #introduce() {
    const { facts, systems } = this.run;
    by("about").textContent = `${facts.name} · ${plural(facts.documents, "document")}`;
    by("decision").textContent = facts.reason;
    const all = [plural(facts.documents, "document"), plural(systems.length, "system")];
    by("title").textContent = `Search ${all.join(" with ")} side by side`;
    by("surface").textContent = label(this.run.metric);
    by("bench").hidden = false;
    by("query").disabled = false;
    if (KEYBOARD.matches) by("query").focus({ preventScroll: true });
  }

  #listen() {
    const box = by("query");
    const typed = (event) => event.isComposing || this.go({ query: box.value }, "typing");
    box.addEventListener("input", typed);
    box.addEventListener("compositionend", typed);
    by("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.go({ query: box.value }, "jump");
      if (!KEYBOARD.matches) box.blur(); // the one on the screen gives way to the results
    });
    by("plot").addEventListener("click", ({ clientX, clientY }) => {
      const { left, top } = by("plot").getBoundingClientRect();
      const point = this.#near(clientX - left, clientY - top);
      if (point) this.go({ dimension: point.dimension, precision: point.precision, axes: point.axes }, "jump");
    });
    address.follow(() => {
      this.view = address.read(this.run);
      this.seek();
    });
    markDocument(by("columns"));
    new ResizeObserver(() => this.#plot()).observe(by("plot"));
    new ResizeObserver(() => this.#fit()).observe(by("columns"));
  }

  /** Columns that do not fit are scrolled, by keyboard too; those that fit keep their names in sight. */
  #fit() {
    const place = by("columns");
    place.classList.remove("wide");
    const wide = place.scrollWidth > place.clientWidth;
    place.classList.toggle("wide", wide);
    place.tabIndex = wide ? 0 : -1;
    for (const column of this.#columns.values()) column.fold();
  }

  #failed(error) {
    if (error.status === 401) unlock(() => this.seek());
    else notice(error.message, () => this.seek());
  }
}

/** `/` leads back to the query from anywhere that nothing is typed. */
addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input:not([type=range], [type=radio], [type=checkbox]), textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  by("query").focus();
  by("query").select();
});

async function open() {
  let facts;
  try {
    facts = await ask("v1/run", { waiting });
  } catch (error) {
    return error.status === 401 ? unlock(open) : notice(error.message, open);
  }
  notice(null);
  new Bench(new Run(facts));
}

open();
