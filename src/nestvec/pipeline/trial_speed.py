"""Measure how fast this machine trains, encodes and ranks, with the run's own model, texts and batches.

Each trial takes about two seconds. The results are estimates: a machine that is busy now may be idle later.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from nestvec.models.load import load_model
from nestvec.models.prompts import DOCUMENT, QUERY
from nestvec.pipeline.surface_encoder import open_likely_encoder
from nestvec.runs.schema import TEST
from nestvec.runs.tables import write_ranking
from nestvec.settings import CUTOFF, DEPTH
from nestvec.vectors.topk import top_k

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.models.base_encoder import Encoder
    from nestvec.models.find import ModelFolder
    from nestvec.models.prompts import Role
    from nestvec.pipeline.inputs import Prepared
    from nestvec.training.job import Job

TRIAL_SECONDS = 2.0
_FEWEST_STEPS = 3  # the first step is not counted: it is a warm-up
_FIRST, _MOST = 16, 256  # texts that are encoded together: few at first, as one text may take seconds
_QUERIES, _DOCUMENTS = 512, 20_000  # most queries and documents that a trial ranks


class _EnoughError(Exception):
    """Ends a trial training once enough steps are timed."""


@dataclass(frozen=True)
class EncodingSpeed:
    """The speed of a model's encoders: seconds per query and seconds per document."""

    query: float
    document: float

    def estimate(self, queries: int, documents: int) -> float:
        """Estimate the seconds to encode the given numbers of queries and documents."""
        return queries * self.query + documents * self.document


def time_encoding(prepared: Prepared, model: ModelFolder) -> EncodingSpeed:
    """Time the encoding of some of the run's queries and documents, with the encoders that the run would use."""
    exact, faster = open_likely_encoder(prepared, model)
    seed = prepared.settings.seed
    query = _time_texts(exact, prepared.task.texts, QUERY, seed)
    return EncodingSpeed(query, _time_texts(faster, prepared.catalogue.texts, DOCUMENT, seed))


def _time_texts(encoder: Encoder, texts: Sequence[str], role: Role, seed: int) -> float:
    """Measure how many seconds an encoder takes per text, by encoding texts in random order for about a second."""
    drawn = [texts[row] for row in np.random.default_rng(seed).permutation(len(texts)).tolist()]
    encoder.encode(drawn[:1], role)  # warm-up
    done, size, begun = 0, _FIRST, time.perf_counter()
    while done < len(drawn) and time.perf_counter() - begun < TRIAL_SECONDS / 2:
        encoder.encode(drawn[done : done + size], role)
        done, size = min(done + size, len(drawn)), min(2 * size, _MOST)
    return (time.perf_counter() - begun) / done


def time_step(prepared: Prepared, job: Job) -> float:
    """Measure the seconds of one optimizer step: train some steps on the planned batches and discard the model."""
    from nestvec.training.train import train

    recipe = replace(job.settings.training, epochs=1000, report_to=())  # long enough not to end before the trial
    trial = replace(job, validation=None, settings=replace(job.settings, training=recipe))
    ends: list[float] = []

    def watch(_: int) -> None:
        ends.append(time.perf_counter())
        if len(ends) >= _FEWEST_STEPS and ends[-1] - ends[0] > TRIAL_SECONDS:
            raise _EnoughError

    with TemporaryDirectory(prefix="nestvec-") as folder, suppress(_EnoughError):
        train(load_model(prepared.model), trial, Path(folder) / "trial", watch=watch)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def time_point(prepared: Prepared) -> float:
    """Estimate the seconds to rank and measure all queries with one system in one vector format.

    Some queries are searched and measured with random vectors of the mean width. Half of the search time is counted,
    because vectors alone and vectors fused with keyword search share one search.
    """
    _rank_some(prepared, 1)  # warm-up
    asked, searched = min(_QUERIES, len(prepared.topics.ids)), min(_DOCUMENTS, len(prepared.catalogue.ids))
    search, rest = _rank_some(prepared, asked)
    return len(prepared.topics.ids) / asked * (search / 2 * len(prepared.catalogue.ids) / searched + rest)


def _rank_some(prepared: Prepared, asked: int) -> tuple[float, float]:
    """Time a search for `asked` random queries; return its seconds, and the seconds to measure and write results."""
    rng, ids, topics = np.random.default_rng(0), prepared.catalogue.ids, prepared.topics
    cutoffs = sorted({CUTOFF, *prepared.settings.evaluation.cutoffs})
    width = round(float(np.mean(prepared.dimensions)))
    queries = rng.standard_normal((asked, width), dtype=np.float32)
    documents = rng.standard_normal((min(_DOCUMENTS, len(ids)), width), dtype=np.float32)
    tested = max(1, round(asked * float((topics.splits == TEST).mean())))
    begun = time.perf_counter()
    rows, scores = top_k(queries, documents, min(DEPTH, len(documents)))
    found = time.perf_counter()
    prepared.judgements.measure(topics.rows[:asked], rows, cutoffs)
    with TemporaryDirectory(prefix="nestvec-") as folder:
        ranked = ([ids[row] for row in each] for each in rows[:tested].tolist())
        write_ranking(Path(folder) / "trial.trec", "trial", topics.ids[:tested], ranked, scores[:tested])
    return found - begun, time.perf_counter() - found
