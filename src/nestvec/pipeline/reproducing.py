"""`nestvec reproduce home-depot`: repeat the original experiment and compare with its published numbers.

Two runs use the same recipe: one under the published protocol, whose split by record lets training see most test
queries, and one under the leak-free protocol. The first run's extra gain is due to leaks. A second estimate of it
needs no second training: the first run's gain on test records whose query, or product, was not in training.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from nestvec.data.audit import normalised_texts
from nestvec.data.find_columns import find_columns
from nestvec.data.sources import open_source
from nestvec.errors import InputError
from nestvec.evaluation.ranking import Vectors, rank_dense
from nestvec.evaluation.significance import Bootstrap
from nestvec.files import write_json
from nestvec.models.find import find_model
from nestvec.models.torch_encoder import open_torch
from nestvec.pipeline.inputs import Prepared, prepare
from nestvec.pipeline.run_stages import run_settings
from nestvec.point import FULL, PRETRAINED, Point, VectorFormat
from nestvec.progress import Progress, Reporter, make_reporter
from nestvec.runs.folder import RunFolder
from nestvec.runs.run import Run
from nestvec.settings import LEAST_TEST, LEAST_VALIDATION, NO_AXES, DataSettings, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

HUB = "hf:bstds/home_depot"
BIGGER_SYSTEM = "all-mpnet-base-v2"
BIGGER = f"sentence-transformers/{BIGGER_SYSTEM}"
THRESHOLD, EPOCHS, RECORDS = 2.5, 30, 25_000
DIMENSIONS = (384, 192, 96, 48)
METRICS = ("recall@10", "mrr@10", "ndcg@10")
_FIRST_RUN = "published"  # the first run's folder in the folder of the reproduction
_DESCRIPTIONS = ("description", "product_description")

# The published recall@10, MRR@10 and nDCG@10 at each dimension.
PUBLISHED = {
    ("pretrained", 384): (0.57585, 0.32033, 0.38130),
    ("pretrained", 192): (0.53502, 0.29338, 0.35096),
    ("pretrained", 96): (0.46584, 0.24511, 0.29740),
    ("pretrained", 48): (0.32746, 0.16733, 0.20516),
    ("mnr", 384): (0.66309, 0.36952, 0.43963),
    ("mnr", 192): (0.65406, 0.36394, 0.43317),
    ("mnr", 96): (0.63000, 0.34794, 0.41534),
    ("mnr", 48): (0.58745, 0.31978, 0.38344),
    ("matryoshka", 384): (0.65965, 0.35897, 0.43078),
    ("matryoshka", 192): (0.64890, 0.35437, 0.42465),
    ("matryoshka", 96): (0.63988, 0.35126, 0.42014),
    ("matryoshka", 48): (0.63171, 0.34414, 0.41259),
    (BIGGER_SYSTEM, 768): (0.5952, 0.3276, None),
}


@dataclass(frozen=True)
class Reproduction:
    """A finished reproduction of a published experiment."""

    folder: Path  # holds the page and the folders of the two runs
    facts: dict[str, Any]  # the content of `reproduce.json`


class Recipe(TypedDict, total=False):
    """Settings in which a reproduction may differ from the published experiment."""

    epochs: int  # passes over the training pairs; the original made 30
    max_records: int  # number of records; the original used 25,000
    compute: str  # `float32` as in the original, `bfloat16`, or `auto`


def reproduce(
    experiment: str = "home-depot",
    out: str | Path = "reproduction",
    *,
    data: str | None = None,
    progress: Progress = True,
    **recipe: Unpack[Recipe],
) -> Reproduction:
    """Repeat a published experiment twice: as published, and with a split that leaks no test query into training.

    Args:
        experiment: `home-depot`.
        out: the folder to write; a reproduction that was begun there with the same settings is continued.
        data: the data set's Parquet file or the competition's CSV; None downloads it from Hugging Face.
        progress: True shows bars or lines, False nothing; a function is called with each `ProgressEvent`.
        recipe: settings that differ from the published experiment: `epochs`, `max_records`, `compute`.

    Returns:
        The folder and all measured numbers.

    Raises:
        InputError: the data cannot be read, or the folder holds files that no reproduction made.
    """
    if experiment != "home-depot":
        raise InputError(f"unknown experiment {experiment!r}", "home-depot")
    reporter, root = make_reporter(progress), Path(out)
    _refuse_foreign(root)
    source = data or HUB
    made = {"epochs": EPOCHS, "max_records": RECORDS, "compute": "auto", **recipe, **_find_document_column(source)}
    as_published, leak_free = (settings_for(source, protocol, made) for protocol in ("published", "leak-free"))
    reporter.say("the published protocol: split by record")
    prepared = prepare(as_published)
    first = run_settings(as_published, root / _FIRST_RUN, reporter)
    bigger = _measure_bigger(prepared, reporter)
    reporter.say("the same recipe, leak-free")
    second = run_settings(leak_free, root / "leak-free", reporter)
    facts = _gather_facts(prepared, first, second, bigger, made)
    write_json(root / "reproduce.json", facts)
    from nestvec.report.reproduction_page import write_reproduction_page

    write_reproduction_page(facts, root)
    return Reproduction(root, facts)


def _refuse_foreign(root: Path) -> None:
    """Raise InputError if the folder for a reproduction holds files that an earlier reproduction did not write."""
    if root.exists() and not root.is_dir():
        raise InputError("is a file", "a folder for the reproduction", file=root)
    if not root.is_dir() or RunFolder(root / _FIRST_RUN).path("config").is_file():
        return
    if any(entry.name != _FIRST_RUN and not entry.name.startswith(".") for entry in root.iterdir()):
        raise InputError("holds files that no reproduction made", "a new or empty folder", file=root)


def settings_for(source: str, protocol: str, recipe: dict[str, Any]) -> Settings:
    """Make the published experiment's settings for a protocol (`published` or `leak-free`), changed by `recipe`."""
    original: dict[str, Any] = {
        "source": source,
        "protocol": protocol,
        "validation": LEAST_VALIDATION,  # so that training keeps most of the records, as the original's does
        "test": LEAST_TEST,
        "threshold": THRESHOLD,
        "systems": "mnr,matryoshka",
        "dimensions": DIMENSIONS,
        "axes_precisions": NO_AXES,  # the original cuts vectors as they are
        "batch_size": 16,
        "learning_rate": 5e-5,
        "warmup": 0.1,
        "seed": 42,
    }
    return Settings.from_flat({**original, **recipe})


def _find_document_column(source: str) -> dict[str, str]:
    """Set the document column to the description, as published; without such a column, leave the choice to nestvec."""
    settings = DataSettings(source=source)
    opened = open_source(settings)
    description = next((name for name in _DESCRIPTIONS if name in opened.columns), None)
    if description is None:
        find_columns(opened, settings)  # raises an error that names a missing column
        return {}
    return {"document": description}


def _measure_bigger(prepared: Prepared, reporter: Reporter) -> dict[str, Any]:
    """Measure the bigger pretrained model of the published table, query by query; if it is missing, say why."""
    try:
        model = find_model(BIGGER)
        encoder = open_torch(model, None, "float32")
    except InputError as error:
        return {"missing": str(error)}
    task, catalogue = prepared.task, prepared.catalogue
    with reporter.step(f"encode with {BIGGER_SYSTEM}", len(task.texts) + len(catalogue.texts)) as advance:
        vectors = encoder.encode_both(task.texts, catalogue.texts, advance)
    pair = Vectors(vectors[: len(task.texts)], vectors[len(task.texts) :])
    [ranking] = rank_dense(BIGGER_SYSTEM, pair, catalogue, [VectorFormat(vectors.shape[1], FULL)])
    return {"values": prepared.judgements.measure(np.arange(len(task.texts)), ranking.rows)}


def _gather_facts(
    prepared: Prepared, as_published: Run, leak_free: Run, bigger: dict[str, Any], recipe: dict[str, Any]
) -> dict[str, Any]:
    """Gather all facts of a reproduction for `reproduce.json`."""
    task = prepared.task
    rng = np.random.default_rng(prepared.settings.seed)
    bootstrap = Bootstrap(len(task.ids), prepared.settings.evaluation.resamples, rng)
    rows = [_compare_row(*entry, as_published) for entry in PUBLISHED if BIGGER_SYSTEM not in entry]
    if "values" in bigger:
        measured = {metric: asdict(bootstrap.interval(bigger["values"][metric])) for metric in METRICS}
        rows.append({**_published_row(BIGGER_SYSTEM, 768), "ours": measured})
    return {
        "schema": 1,
        "experiment": "home-depot",
        "recipe": recipe,
        "titles_only": prepared.records.titles_only,
        "counts": {
            "records": len(prepared.records),
            "training_pairs": len(task.pairs),
            "test_queries": len(task.ids),
            "test_documents": len(task.catalogue),
        },
        "original_counts": {"records": 74_067, "training_pairs": 9202, "test_queries": 2327, "test_documents": 5064},
        "rows": rows,
        "missing": {BIGGER_SYSTEM: bigger["missing"]} if "missing" in bigger else {},
        "audit": asdict(as_published.audit),
        "gains": [
            _find_gain("published protocol", as_published, "mnr"),
            _find_gain("published protocol", as_published, "matryoshka"),
            *_measure_unseen_gains(prepared, as_published),
            _find_gain("leak-free protocol", leak_free, "mnr"),
            _find_gain("leak-free protocol", leak_free, "matryoshka"),
        ],
    }


def _published_row(system: str, dimension: int) -> dict[str, Any]:
    metrics = dict(zip(METRICS, PUBLISHED[system, dimension], strict=True))
    return {"system": system, "dimension": dimension, "published": metrics}


def _compare_row(system: str, dimension: int, run: Run) -> dict[str, Any]:
    """Return a row of the published table, together with the same figures as this reproduction measured them."""
    row = run.points.get(Point(system, dimension, FULL).name)
    ours = {metric: asdict(row.metrics[metric]) for metric in METRICS} if row else None
    return {**_published_row(system, dimension), "ours": ours}


def _find_gain(where: str, run: Run, system: str) -> dict[str, Any]:
    """Find a system's gain in recall@10 over the pretrained model at full width, paired by query."""
    names = tuple(Point(name, DIMENSIONS[0], FULL).name for name in (system, PRETRAINED))
    for entry in run.results.comparisons:
        if entry.metric == "recall@10" and (entry.a, entry.b) == names:
            facts = {"queries": run.points[entry.a].queries, "gain": entry.difference}
            return {"where": where, "system": system, **facts, "low": entry.low, "high": entry.high}
    return {"where": where, "system": system, "queries": 0, "gain": None, "low": None, "high": None}  # nothing trained


def _measure_unseen_gains(prepared: Prepared, run: Run) -> list[dict[str, Any]]:
    """Measure gains on test records by what training saw: the query, not the query, neither query nor product."""
    texts, trained = normalised_texts(prepared.records), prepared.task.in_part("train")
    rows = np.array([int(identifier[1:]) for identifier in prepared.task.ids])  # of the records, see `data.task`
    seen = {kind: np.isin(values[rows], values[trained]) for kind, values in texts.items()}
    values = _recall_by_query(run, prepared)
    gains = []
    for where, mask in (
        ("… where training saw the query", seen["queries"]),
        ("… where it did not", ~seen["queries"]),
        ("… where it saw neither query nor product", ~seen["queries"] & ~seen["documents"]),
    ):
        for system in prepared.trained:
            difference = (values[system] - values[PRETRAINED])[mask]
            if len(difference):
                draws = np.random.default_rng(prepared.settings.seed)
                part = Bootstrap(len(difference), prepared.settings.evaluation.resamples, draws).interval(difference)
                ends = {"low": part.low, "high": part.high}
                gains.append({"where": where, "system": system, "queries": len(difference), "gain": part.value, **ends})
    return gains


def _recall_by_query(run: Run, prepared: Prepared) -> dict[str, NDArray[np.float64]]:
    """Read each system's recall@10 at full width for every test query, as an array in the order of the queries."""
    names = {system: Point(system, DIMENSIONS[0], FULL).name for system in (PRETRAINED, *prepared.trained)}
    values = run.per_query("recall@10", names.values())
    return {system: np.array([values[name][query] for query in prepared.task.ids]) for system, name in names.items()}
