"""Whether two finished runs may be compared: the same judgements, queries and metric, and as many documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nestvec.errors import InputError

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
    for name, wanted, number in (
        ("relevant_from", first.results.relevant_from, second.results.relevant_from),
        ("the number of documents searched", first.documents, second.documents),
    ):
        if number != wanted:
            problem, expected = f"{name} is {number:,}", f"{wanted:,} as in {first.root}"
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
