/** Keyword search beside the vectors: a switch, and a slider from words to meaning with the fitted weight marked. */

import { by } from "./dom.js";

/**
 * @param {Run} run
 * @param {(change: Partial<View>, kind: "weighing" | "jump") => void} choose
 * @returns {(view: View) => void} shows a view
 */
export function mixture(run, choose) {
  const { fitted: isFitted, recommended } = run.facts.keyword_search;
  let fitted; // per cent of words at the point that is shown
  const weigh = (words) => (words === fitted ? "fitted" : words); // which goes along when the point changes
  by("beside").addEventListener("change", ({ target }) => choose({ words: target.checked ? "fitted" : null }, "jump"));
  by("words").addEventListener("input", ({ target }) => choose({ words: weigh(100 - target.value) }, "weighing"));
  by("refit").addEventListener("click", () => {
    choose({ words: "fitted" }, "jump");
    by("words").focus(); // the button is gone
  });
  by("advised").hidden = !recommended;
  return (view) => {
    const point = run.point(run.main, view);
    fitted = Math.round(100 * point.fused.weight);
    show(view.words, fitted, isFitted);
  };
}

function show(chosen, fitted, isFitted) {
  by("beside").checked = chosen !== null;
  by("mixture").hidden = chosen === null;
  if (chosen === null) return;
  const words = chosen === "fitted" ? fitted : chosen;
  by("words").value = 100 - words;
  by("words").setAttribute("aria-valuetext", said(words));
  by("mixed").textContent = `${words} % words`;
  by("mark").style.setProperty("--place", (100 - fitted) / 100);
  const source = isFitted ? "as fitted on training queries" : "the default, as this run fitted no weight";
  by("fitted").textContent = `Marked: ${fitted} % words, ${source}.`;
  by("refit").hidden = words === fitted;
  by("refit").textContent = `Back to ${fitted} % words`;
}

/** A weight of the words, for those who do not see the slider. */
function said(words) {
  if (words === 0) return "meaning alone";
  return words === 100 ? "words alone" : `${words} % words, ${100 - words} % meaning`;
}
