"""`nestvec check`: what a data set holds, where to cut its grades, how long its texts are, and what a split would leak.

Trains nothing and loads no model; of the model only the tokenizer is read, to count what would be cut off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from nestvec.data.audit import audit, drawn_by_row, exact_texts, naive_split_leaks, normalised_texts
from nestvec.data.duplicates import find_near_duplicates
from nestvec.errors import InputError
from nestvec.files import read_json, write_json
from nestvec.models.find import find_model
from nestvec.models.token_counts import count_tokens
from nestvec.pipeline.inputs import read_task
from nestvec.pipeline.run_arguments import RunSettings, show_settings
from nestvec.progress import Progress, Reporter, Silent, make_reporter
from nestvec.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task

MOST_COUNTED = 100_000  # texts of a kind that are tokenised or compared; of more, a seeded sample
_SURE = 0.95  # share of resampled histograms that must have a dip, or it is not sure
_NARROW = 0.25  # share of the range of grades within which 95 % of these dips must lie


@dataclass(frozen=True)
class Check:
    """What was found."""

    facts: dict[str, Any]  # what `check.json` holds

    @property
    def warnings(self) -> list[str]:
        """What its owner should look at before training, in words."""
        return list(self.facts["warnings"])


@show_settings(RunSettings)
def check(
    source: str = "sample",
    out: str | Path | None = None,
    *,
    progress: Progress = True,
    **settings: Unpack[RunSettings],
) -> Check:
    """Validate a data set and describe it.

    Args:
        source: `sample`, a file, a folder, or hf:NAME.
        out: a folder for check.json and check.html; None writes nothing.
        progress: True shows bars or lines, False nothing; a function is called with each `ProgressEvent`.
        settings: by name; see `nestvec.settings`.

    Returns:
        What was found.

    Raises:
        InputError: the data cannot be used; the message says where and why.
    """
    checked = Settings.from_flat({"source": source, **settings})
    return check_settings(checked, None if out is None else Path(out), make_reporter(progress))


def check_settings(settings: Settings, out: Path | None, reporter: Reporter | None = None) -> Check:
    """Validate a data set and describe it, as `check`; raises InputError where the folder cannot be written, too."""
    if out is not None and out.exists() and not out.is_dir():
        raise InputError("is a file", "a folder for check.json and check.html", file=out)
    found = Check(describe(settings, reporter or Silent()))
    if out is not None:
        try:
            _write(found, out)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", "a folder for the check", file=out) from error
    return found


def _write(found: Check, out: Path) -> None:
    from nestvec.report.check_page import write_check_page

    write_check_page(found.facts, out / "check.html")  # first: if it cannot be made, nothing is written
    write_json(out / "check.json", found.facts)


def describe(settings: Settings, reporter: Reporter) -> dict[str, Any]:
    """Everything that `check.json` holds, as plain JSON values; raises InputError where the data cannot be used."""
    with reporter.step("read and split", 1) as advance:
        records, grades, task = read_task(settings)
        advance(1)
    with reporter.step("audit leaks", 1) as advance:
        splits = _splits(records, grades, task, settings)
        advance(1)
    with reporter.step("count tokens", 2) as advance:
        tokens = _tokens(records, settings, advance)
    with reporter.step("look for near-duplicates", 1) as advance:
        near = find_near_duplicates(_sampled(records.documents, settings.seed))
        advance(1)
    facts = {
        "schema": 1,
        "source": settings.data.source,
        "sha256": records.sha256,
        "revision": records.revision,
        "synthetic": records.synthetic,
        "titles_only": records.titles_only,
        "records": len(records),
        "queries": len(records.queries),
        "documents": len(records.documents),
        "rejected": len(records.rejected),
        **_judged(records, grades),
        "grades": grades.to_json(),
        "tokens": tokens,
        "findings": [vars(finding) for finding in records.findings],
        "near_duplicates": near,
        **splits,
    }
    whole: dict[str, Any] = json.loads(json.dumps({**facts, "warnings": _warnings(facts)}))  # lists, as a reader has
    return whole


def _judged(records: Records, grades: Grades) -> dict[str, Any]:
    """How judgements are spread over queries and documents."""
    per_query = np.bincount(records.query, minlength=len(records.queries))
    relevant = np.bincount(records.query[records.grade >= grades.threshold], minlength=len(records.queries))
    return {
        "judged_per_query": _spread(per_query),
        "relevant_per_query": _spread(relevant),
        "queries_without_relevant": int((relevant == 0).sum()),
        "unjudged_documents": len(records.documents) - len(np.unique(records.document)),
    }


def _spread(values: NDArray[np.int64]) -> dict[str, float]:
    points = np.quantile(values, [0, 0.25, 0.5, 0.75, 0.95, 1])
    named = dict(zip(("min", "p25", "median", "p75", "p95", "max"), map(float, points), strict=True))
    return {**named, "mean": float(values.mean())}


def _tokens(records: Records, settings: Settings, advance: Callable[[int], None]) -> dict[str, Any]:
    """Text lengths as the model reads them, and what it cuts off."""
    folder = find_model(settings.training.model, settings.training.model_sha256)
    found: dict[str, Any] = {"model": settings.training.model}
    for kind, texts in (("queries", records.queries), ("documents", records.documents)):
        lengths, limit = count_tokens(folder.path, _sampled(texts, settings.seed))
        cut = np.maximum(lengths - limit, 0)
        found["limit"] = limit
        found[kind] = {
            **_spread(lengths),
            "counted": len(lengths),
            "too_long": int((cut > 0).sum()),
            "tokens_cut": int(cut.sum()),
            "share_cut": float(cut.sum() / max(1, lengths.sum())),
        }
        advance(1)
    return found


def _sampled(texts: Sequence[str], seed: int) -> Sequence[str]:
    """All texts, or a seeded sample where there are very many."""
    if len(texts) <= MOST_COUNTED:
        return texts
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST_COUNTED])
    return [texts[row] for row in rows.tolist()]


def _splits(records: Records, grades: Grades, task: Task, settings: Settings) -> dict[str, Any]:
    """What the split that a run would use costs, and what a naive one by row would leak."""
    protocol = settings.split.protocol if records.labels is None else "own"
    share = float(task.in_part("test").mean())
    ways = {"exact": exact_texts(records), "normalised": normalised_texts(records)}
    return {
        "row_split": {way: _row_split(texts, share, settings.seed) for way, texts in ways.items()},
        "split": audit(records, task, grades.threshold, protocol, settings.seed),
    }


def _row_split(texts: dict[str, NDArray[np.int64]], share: float, seed: int) -> dict[str, Any]:
    """What the naive split by row leaks: shares of its test records, and how many distinct texts recur."""
    test = drawn_by_row(len(texts["queries"]), share, seed)
    recurring = {}
    for kind, values in texts.items():
        asked = np.unique(values[test])
        recurring[kind] = {"test": len(asked), "in_training": int(np.isin(asked, values[~test]).sum())}
    return {"shares": naive_split_leaks(texts, share, seed), "recurring": recurring}


def _warnings(facts: dict[str, Any]) -> list[str]:
    return [*_grade_warnings(facts["grades"]), *_leak_warnings(facts["split"]), *_text_warnings(facts)]


def _grade_warnings(grades: dict[str, Any]) -> list[str]:
    """Where the threshold is not to be trusted."""
    if grades["threshold_source"] == "middle":
        return [
            f"The grades show no dip between two humps; {grades['threshold']:g}, the middle of their range, is taken. "
            "Look at the histogram and give --threshold."
        ]
    dip, span, found = grades["dip"], grades["highest"] - grades["lowest"], []
    if grades["threshold_source"] != "dip":
        return []
    if dip["seen"] < _SURE:
        found.append(f"only {100 * dip['seen']:.1f} % of resampled histograms have one")
    if dip["high"] - dip["low"] > _NARROW * span:
        found.append(f"resampling puts the threshold anywhere between {dip['low']:g} and {dip['high']:g}")
    told = f"The dip of the grades is not sure: {', and '.join(found)}. Look at the histogram and give --threshold."
    return [told] if found else []


def _leak_warnings(split: dict[str, Any]) -> list[str]:
    found = ", ".join(f"{count:,} {name}" for name, count in split["leaks"].items() if count)
    name = "source's own" if split["protocol"] == "own" else split["protocol"]
    return [f"The {name} split leaks: {found}."] if found else []


def _text_warnings(facts: dict[str, Any]) -> list[str]:
    """What is missing from the texts and judgements, or will not be read."""
    found = []
    tokens, rejected, unanswered = facts["tokens"]["documents"], facts["rejected"], facts["queries_without_relevant"]
    if tokens["too_long"]:
        share, limit = tokens["too_long"] / tokens["counted"], facts["tokens"]["limit"]
        found.append(f"{100 * share:.1f} % of the documents are longer than the {limit:,} tokens the model reads.")
    if rejected:
        found.append(f"{rejected:,} bad {'row was' if rejected == 1 else 'rows were'} set aside.")
    if unanswered:
        having = "query has no relevant document; it" if unanswered == 1 else "queries have no relevant document; they"
        found.append(f"{unanswered:,} {having} cannot be measured.")
    if facts["titles_only"]:
        found.append("The documents are titles only: no description column was found or named.")
    return found


def load_check(out: str | Path) -> Check:
    """Read a check back from its folder; raises InputError where check.json is missing or damaged."""
    return Check(read_json(Path(out) / "check.json"))
