"""`nestvec check`: describe a data set, its grades, the length of its texts, and what a split would leak.

A check trains nothing and loads only the model's tokenizer, to count how many tokens the model would cut off. Without
the extra `train` there may be no tokenizer: then a warning says that tokens were not counted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from nestvec.data.audit import (
    audit,
    drawn_by_row,
    exact_texts,
    naive_split_leaks,
    normalised_texts,
    note_texts_read,
)
from nestvec.data.dip import MANY
from nestvec.data.duplicates import find_near_duplicates
from nestvec.data.source import count_rows
from nestvec.data.split import mark_texts
from nestvec.errors import InputError, MissingExtraError
from nestvec.extras import require_extras
from nestvec.files import read_json, write_json
from nestvec.models.find import find_model
from nestvec.models.token_counts import count_tokens
from nestvec.pipeline.inputs import read_task
from nestvec.pipeline.run_arguments import RunSettings, show_settings
from nestvec.pipeline.shares import count_held_out
from nestvec.progress import Progress, Reporter, Silent, make_reporter
from nestvec.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nestvec.data.grades import Grades
    from nestvec.data.records import Records
    from nestvec.data.task import Task

MOST_COUNTED = 100_000  # texts per kind that are tokenised or compared; of more texts, a random sample is taken
_WARNED = ("grades that are counts of clicks",)  # findings that become warnings
_FEW = 2  # different grades in positives-only data; if there are more, the lowest may well mean "not relevant"
_SURE = 0.95  # least share of resampled histograms with a dip; below it, a warning calls the dip uncertain
_NARROW = 0.25  # of the range of grades: if 95 % of the resampled dips spread wider than this, a warning says so


@dataclass(frozen=True)
class Check:
    """The result of `nestvec check`: facts about a data set, and warnings."""

    facts: dict[str, Any]  # the content of `check.json`

    @property
    def warnings(self) -> list[str]:
        """Warnings about the data to look at before training, the most harmful first; each is a sentence or two."""
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
        settings: settings of a run by name; see `nestvec.settings`.

    Returns:
        The check's facts and warnings.

    Raises:
        InputError: the data cannot be used; the message says where and why.
    """
    checked = Settings.from_flat({"source": source, **settings})
    return check_settings(checked, None if out is None else Path(out), make_reporter(progress))


def check_settings(settings: Settings, out: Path | None, reporter: Reporter | None = None) -> Check:
    """Validate a data set and describe it; raise InputError for unusable data or a folder that cannot be written."""
    if out is not None and out.exists() and not out.is_dir():
        raise InputError("is a file", "a folder for check.json and check.html", file=out)
    if out is not None:
        require_extras("report")
    checked = Check(describe_data(settings, reporter or Silent()))
    if out is not None:
        try:
            _write_files(checked, out)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", "a writable folder", file=out) from error
    return checked


def _write_files(checked: Check, out: Path) -> None:
    """Write the result of a check as `check.html` and `check.json`."""
    from nestvec.report.check_page import write_check_page

    write_check_page(checked.facts, out / "check.html")  # first: if the page fails, no JSON is left behind
    write_json(out / "check.json", checked.facts)


def describe_data(settings: Settings, reporter: Reporter) -> dict[str, Any]:
    """Gather all facts about a data set for `check.json`.

    Args:
        settings: settings of a run; they say what to read and how to split.
        reporter: shows the progress.

    Returns:
        Plain JSON values.

    Raises:
        InputError: the data cannot be used.
    """
    with reporter.step("read and split", 1) as advance:
        records, grades, task = read_task(settings)
        advance(1)
    with reporter.step("audit leaks", 1) as advance:
        splits = _audit_splits(records, grades, task, settings)
        advance(1)
    with reporter.step("count tokens", 2) as advance:
        tokens, uncounted = _try_to_measure_lengths(records, settings, advance)
    with reporter.step("look for near-duplicates", 1) as advance:
        near = find_near_duplicates(_draw_sample(records.documents, settings.seed))
        advance(1)
    systems = 1 + len(settings.evaluation.models) + len(settings.training.trained)
    facts = {
        "schema": 1,
        "source": settings.data.name,
        "sha256": records.sha256,
        "revision": records.revision,
        "synthetic": records.synthetic,
        "titles_only": records.titles_only,
        "records": len(records),
        "queries": len(records.queries),
        "documents": len(records.documents),
        "rejected": len(records.rejected),
        **_count_judgements(records, grades),
        "held_out": asdict(count_held_out(records, grades, task, settings, systems)),
        "grades": grades.to_json(),
        "tokens": tokens,
        "findings": [vars(finding) for finding in records.findings],
        "near_duplicates": near,
        **splits,
    }
    whole: dict[str, Any] = json.loads(
        json.dumps({**facts, "warnings": [*_list_warnings(facts), *uncounted]})
    )  # through JSON, so that tuples are lists here as they are after reading the file
    return whole


def _count_judgements(records: Records, grades: Grades) -> dict[str, Any]:
    """Count judgements per query, queries without a relevant document, and documents that nobody judged."""
    per_query = np.bincount(records.query, minlength=len(records.queries))
    relevant = np.bincount(records.query[records.grade >= grades.threshold], minlength=len(records.queries))
    return {
        "judged_per_query": _summarise_counts(per_query),
        "relevant_per_query": _summarise_counts(relevant),
        "queries_without_relevant": int((relevant == 0).sum()),
        "unjudged_documents": int((np.bincount(records.document, minlength=len(records.documents)) == 0).sum()),
    }


def _summarise_counts(values: NDArray[np.int64]) -> dict[str, float]:
    """Summarise counts, such as judgements per query, by six quantiles and the mean."""
    points = np.quantile(values, [0, 0.25, 0.5, 0.75, 0.95, 1])
    quantiles = dict(zip(("min", "p25", "median", "p75", "p95", "max"), map(float, points), strict=True))
    return {**quantiles, "mean": float(values.mean())}


def _try_to_measure_lengths(
    records: Records, settings: Settings, advance: Callable[[int], None]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Measure text lengths in tokens; without the extra that installs tokenizers, return None and a warning."""
    try:
        return _measure_lengths(records, settings, advance), []
    except MissingExtraError as error:
        advance(2)
        return None, [f"Tokens were not counted, so texts that are too long for the model are not known: {error}."]


def _measure_lengths(records: Records, settings: Settings, advance: Callable[[int], None]) -> dict[str, Any]:
    """Measure the lengths of queries and documents in the model's tokens, and how many tokens the model cuts off."""
    folder, given = find_model(settings.training.model, settings.training.model_sha256), settings.training
    prompts = folder.prompts.override(given.query_prompt, given.document_prompt)
    measured: dict[str, Any] = {"model": settings.training.model}
    sides = {"queries": (records.queries, prompts.query), "documents": (records.documents, prompts.document)}
    for kind, (texts, prompt) in sides.items():
        lengths, limit = count_tokens(folder.path, [prompt + text for text in _draw_sample(texts, settings.seed)])
        cut = np.maximum(lengths - limit, 0) if limit else np.zeros_like(lengths)
        measured["limit"] = limit
        measured[kind] = {
            **_summarise_counts(lengths),
            "counted": len(lengths),
            "too_long": int((cut > 0).sum()),
            "tokens_cut": int(cut.sum()),
            "share_cut": float(cut.sum() / max(1, lengths.sum())),
        }
        advance(1)
    return measured


def _draw_sample(texts: Sequence[str], seed: int) -> Sequence[str]:
    """Return all texts, or a random sample of 100,000 if there are more."""
    if len(texts) <= MOST_COUNTED:
        return texts
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST_COUNTED])
    return [texts[row] for row in rows.tolist()]


def _audit_splits(records: Records, grades: Grades, task: Task, settings: Settings) -> dict[str, Any]:
    """Look for leaks in the split that a run would use and, for comparison, in a naive split by row."""
    protocol = settings.split.protocol if records.labels is None else "own"
    share = float(task.in_part("test").mean())
    ways = {"exact": exact_texts(records), "normalised": normalised_texts(records)}
    return {
        "row_split": {way: _audit_row_split(texts, share, settings.seed) for way, texts in ways.items()},
        "split": audit(records, task, grades.threshold, protocol, settings.seed)
        | note_texts_read(settings.training.adapted_on),
    }


def _audit_row_split(texts: dict[str, NDArray[np.int64]], share: float, seed: int) -> dict[str, Any]:
    """Measure leaks of a naive split by row: the share of test records that leak, and test texts also in training."""
    test = drawn_by_row(len(texts["queries"]), share, seed)
    recurring = {}
    for kind, values in texts.items():
        asked = mark_texts(values, test)
        recurring[kind] = {"test": int(asked.sum()), "in_training": int((asked & mark_texts(values, ~test)).sum())}
    return {"shares": naive_split_leaks(texts, share, seed), "recurring": recurring}


def _list_warnings(facts: dict[str, Any]) -> list[str]:
    """List all warnings, the most harmful first."""
    return [
        *(
            f"{finding['name'][:1].upper()}{finding['name'][1:]}: {finding['action']}"
            for finding in facts["findings"]
            if finding["warning"]
        ),
        *_grade_warnings(facts["grades"]),
        *_leak_warnings(facts["split"]),
        *_text_warnings(facts),
    ]


def _grade_warnings(grades: dict[str, Any]) -> list[str]:
    """Warn if the threshold is uncertain, or makes nearly all records relevant."""
    warnings = _doubt_threshold(grades)
    if grades["unlisted"] is None and grades["relevant_share"] > MANY:
        warnings.append(
            f"{100 * grades['relevant_share']:.1f} % of the records are relevant (grade {grades['threshold']:g} or "
            "higher): too many to tell systems apart. Look at the histogram and give a higher --threshold."
        )
    return warnings


def _doubt_threshold(grades: dict[str, Any]) -> list[str]:
    """Warn if the user gave no threshold and the threshold that nestvec chose is uncertain."""
    if grades["threshold_source"] == "middle" and len(grades["levels"]) > 2:  # two levels have only one possible cut
        return [
            "The histogram of the grades has no dip between two humps, so the threshold is the middle of their range, "
            f"{grades['threshold']:g}. Look at the histogram and give --threshold."
        ]
    if grades["threshold_source"] == "listed" and len(grades["levels"]) > _FEW:
        return [
            f"All rows count as relevant (grade {grades['threshold']:g} or higher), because no row has grade 0. If low "
            "grades mean that a document does not fit, give --threshold."
        ]
    if grades["threshold_source"] != "dip":
        return []
    dip, span, doubts = grades["dip"], grades["highest"] - grades["lowest"], []
    if dip["seen"] < _SURE:
        doubts.append(f"only {100 * dip['seen']:.1f} % of resampled histograms have a dip")
    if dip["high"] - dip["low"] > _NARROW * span:
        doubts.append(f"resampling puts the threshold anywhere between {dip['low']:g} and {dip['high']:g}")
    warning = f"The dip of the grades is uncertain: {', and '.join(doubts)}."
    return [f"{warning} Look at the histogram and give --threshold."] if doubts else []


def _leak_warnings(split: dict[str, Any]) -> list[str]:
    """Warn if the split that a run would use leaks."""
    leaks = ", ".join(f"{count:,} {name}" for name, count in split["leaks"].items() if count)
    name = "source's own" if split["protocol"] == "own" else split["protocol"]
    return [f"The {name} split leaks: {leaks}."] if leaks else []


def _text_warnings(facts: dict[str, Any]) -> list[str]:
    """Warn of documents too long for the model, bad rows that were set aside, and queries that cannot be measured."""
    warnings = []
    rejected, unanswered = facts["rejected"], facts["queries_without_relevant"]
    if facts["tokens"] and facts["tokens"]["documents"]["too_long"]:
        tokens, limit = facts["tokens"]["documents"], facts["tokens"]["limit"]
        share = tokens["too_long"] / tokens["counted"]
        warnings.append(f"{100 * share:.1f} % of the documents are longer than the {limit:,} tokens the model reads.")
    warnings += [
        f"{finding['count']:,} {finding['name']}: {finding['action']}"
        for finding in facts["findings"]
        if finding["name"] in _WARNED
    ]
    if rejected:
        warnings.append(f"{count_rows(rejected)} set aside.")
    if unanswered:
        having = "query has no relevant document; it" if unanswered == 1 else "queries have no relevant document; they"
        warnings.append(f"{unanswered:,} {having} cannot be measured.")
    if facts["titles_only"]:
        warnings.append("The documents are titles only: no description column was found or named.")
    return warnings


def load_check(out: str | Path) -> Check:
    """Read the result of an earlier check from its folder; raise InputError if check.json is missing or damaged."""
    return Check(read_json(Path(out) / "check.json"))
