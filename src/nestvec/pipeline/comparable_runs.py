"""Whether two finished runs may be compared: the same judgements, queries and metric, and as many documents."""

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
    """Raise where two runs were not judged alike, or did not search as many documents.

    Args:
        first: a run.
        second: another, which messages are about.

    Raises:
        InputError: the first thing that differs.
    """
    differing = [
        (f"counts a document as relevant from grade {least:g} on", f"{wanted:g} as in {first.root}")
        for wanted, least in [(_lowest_relevant(first), _lowest_relevant(second))]
        if least != wanted
    ]
    if first.documents != second.documents:
        problem = f"the number of documents searched is {second.documents:,}"
        differing.append((problem, f"{first.documents:,} as in {first.root}"))
    if first.grades.gain_zero != second.grades.gain_zero:
        problem = f"a document gains what its grade has above {second.grades.gain_zero:g}"
        differing.append((problem, f"above {first.grades.gain_zero:g} as in {first.root}"))
    for problem, expected in differing:
        raise InputError(problem, expected, file=second.folder.path("results"))
    before, after = (
        {(query, document): gain for query, gains in run.judgements.items() for document, gain in gains.items()}
        for run in (first, second)
    )
    apart = [pair for pair in {**before, **after} if before.get(pair) != after.get(pair)]
    if apart:
        queries = len({query for query, _ in apart})
        problem = f"differs from the other run's in {len(apart):,} judgements of {queries:,} test queries"
        raise InputError(problem, f"the judgements of {first.root}", file=second.folder.path("qrels"))


def _lowest_relevant(run: Run) -> float:
    """The lowest grade of a relevant document."""
    return round(run.grades.gain_zero + run.results.relevant_from / GAIN, 3)


def refuse_unmeasured(metric: str, first: Run, second: Run) -> None:
    """Raise where a run lacks a metric.

    Args:
        metric: its name.
        first: a run.
        second: another.

    Raises:
        InputError: a run did not measure it; the message names what both measured.
    """
    for run in (first, second):
        if metric not in run.metrics:
            both = [name for name in first.metrics if name in second.metrics]
            wanted = "what both runs measured: " + (", ".join(both) or "nothing")
            raise InputError(f"{metric!r} was not measured", wanted, file=run.folder.path("results"))


def agree_on_texts(first: Run, second: Run, ids: list[str], second_ids: list[str]) -> NDArray[np.str_]:
    """Read the texts of the queries that both runs asked.

    Args:
        first: a run.
        second: another.
        ids: of the first run's q test queries, sorted.
        second_ids: of the second's, sorted.

    Returns:
        (q,) texts in the order of `ids`.

    Raises:
        InputError: the ids differ, or the texts that they stand for.
    """
    wanted = f"the test queries of {first.root}"
    if ids != second_ids:
        apart = len(set(ids) ^ set(second_ids))
        raise InputError(f"{apart:,} test queries are only in one run", wanted, file=second.folder.path("per_query"))
    texts, second_texts = (np.array(list(run.query_texts(ids).values())) for run in (first, second))
    changed = int((texts != second_texts).sum())
    if changed:
        raise InputError(f"{changed:,} test queries have another text", wanted, file=second.folder.path("records"))
    return texts


def find_folds(first: Run, second: Run, ids: list[str]) -> FoldMeans | None:
    """The trainings that measured the q queries `ids` of two runs, as the run with fewer folds says; None: one each."""
    folded = [run for run in (first, second) if run.results.folds]
    if not folded:
        return None
    run = min(folded, key=lambda run: run.results.folds)
    table = read_table(run.folder.path("queries"), ["query_id", "fold"])
    fold = dict(zip(table["query_id"].to_pylist(), table["fold"].to_pylist(), strict=True))
    if not all(fold.get(name, "").isdecimal() for name in ids):
        problem = "is damaged: it does not say each test query's fold"
        raise InputError(problem, "a number for each", file=run.folder.path("queries"))
    return FoldMeans(np.unique([fold[name] for name in ids], return_inverse=True)[1])
