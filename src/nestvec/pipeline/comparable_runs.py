"""Check that two runs can be compared: same judgements, queries and metric, and the same number of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.data.grades import GAIN
from nestvec.errors import InputError
from nestvec.evaluation.fold_means import FoldMeans
from nestvec.runs.tables import read_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nestvec.runs.run import Run


def refuse_another_task(first: Run, second: Run) -> None:
    """Raise InputError if two runs have different judgements or searched different numbers of documents.

    Args:
        first: a run.
        second: the run to compare with it; messages name its files.

    Raises:
        InputError: names the first difference.
    """
    differing = [
        (f"the lowest relevant grade is {least:g}", f"{wanted:g} as in {first.root}")
        for wanted, least in [(_lowest_relevant(first), _lowest_relevant(second))]
        if least != wanted
    ]
    if first.documents != second.documents:
        problem = f"the number of documents searched is {second.documents:,}"
        differing.append((problem, f"{first.documents:,} as in {first.root}"))
    if first.grades.gain_zero != second.grades.gain_zero:
        problem = f"the grade with gain 0 is {second.grades.gain_zero:g}"
        differing.append((problem, f"{first.grades.gain_zero:g} as in {first.root}"))
    for problem, expected in differing:
        raise InputError(problem, expected, file=second.folder.path("results"))
    before, after = (
        {(query, document): gain for query, gains in run.judgements.items() for document, gain in gains.items()}
        for run in (first, second)
    )
    apart = [pair for pair in {**before, **after} if before.get(pair) != after.get(pair)]
    if apart:
        queries = len({query for query, _ in apart})
        problem = f"{len(apart):,} judgements of {queries:,} test queries differ between the runs"
        wanted = f"a second run that was measured with the same judgements as {first.root}: run it on the same data"
        raise InputError(problem, wanted, file=second.folder.path("qrels"))


def _lowest_relevant(run: Run) -> float:
    """Return the lowest grade that a run counts as relevant."""
    return round(run.grades.gain_zero + run.results.relevant_from / GAIN, 3)


def refuse_unmeasured(metric: str, first: Run, second: Run) -> None:
    """Raise InputError if a run did not measure a metric.

    Args:
        metric: the metric's name, such as `recall@10`.
        first: a run.
        second: the run to compare with it.

    Raises:
        InputError: a run lacks the metric; the message names the metrics that both runs have.
    """
    for run in (first, second):
        if metric not in run.metrics:
            both = [name for name in first.metrics if name in second.metrics]
            wanted = "a metric of both runs: " + (", ".join(both) or "there is none")
            raise InputError(f"{metric!r} was not measured", wanted, file=run.folder.path("results"))


def agree_on_texts(first: Run, second: Run, ids: list[str], second_ids: list[str]) -> NDArray[np.str_]:
    """Read the texts of the test queries; raises InputError unless both runs have the same queries.

    Args:
        first: a run.
        second: the run to compare with it.
        ids: sorted ids of the first run's q test queries.
        second_ids: sorted ids of the second run's test queries.

    Returns:
        (q,) texts in the order of `ids`.

    Raises:
        InputError: the runs have different ids, or different texts for the same id.
    """
    wanted = f"a run with the same test queries as {first.root}"
    if ids != second_ids:
        apart = len(set(ids) ^ set(second_ids))
        raise InputError(f"{apart:,} test queries are in one run only", wanted, file=second.folder.path("per_query"))
    texts, second_texts = (np.array(list(run.query_texts(ids).values())) for run in (first, second))
    changed = int((texts != second_texts).sum())
    if changed:
        problem = f"{changed:,} test queries have a different text in each run"
        raise InputError(problem, wanted, file=second.folder.path("records"))
    return texts


def find_folds(first: Run, second: Run, ids: list[str]) -> FoldMeans | None:
    """Find which cross-validation fold measured each of the q queries `ids`; None if neither run has folds.

    If both runs have folds, the folds of the run with fewer folds are used.
    """
    folded = [run for run in (first, second) if run.results.folds]
    if not folded:
        return None
    run = min(folded, key=lambda run: run.results.folds)
    table = read_table(run.folder.path("queries"), ["query_id", "fold"])
    fold = dict(zip(table["query_id"].to_pylist(), table["fold"].to_pylist(), strict=True))
    if not all(fold.get(name, "").isdecimal() for name in ids):
        problem = "is damaged: a test query has no fold"
        raise InputError(problem, "a fold number for each test query", file=run.folder.path("queries"))
    return FoldMeans(np.unique([fold[name] for name in ids], return_inverse=True)[1])
