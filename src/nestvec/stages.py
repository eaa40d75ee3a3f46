"""The stages of a run: each reads what earlier ones wrote, writes its own files, and returns facts about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec import processes
from nestvec.data.audit import audit
from nestvec.data.records import save_records, save_rejected
from nestvec.data.split import HELD_OUT
from nestvec.errors import MissingExtraError
from nestvec.evaluation.significance import Bootstrap
from nestvec.evaluation.surface import (
    compare,
    rank_bm25,
    rank_dense,
    save_values,
    summarise,
    write_trec_run,
)
from nestvec.files import replacing, write_json, write_text
from nestvec.recommend import PRETRAINED, gather, recommend
from nestvec.vectors.models import find_model, load_model, save_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.evaluation.surface import Ranking, Values
    from nestvec.files import RunFolder
    from nestvec.prepared import Prepared
    from nestvec.progress import Reporter

Facts = dict[str, Any]


def write_data(prepared: Prepared, folder: RunFolder) -> Facts:
    """Write the data folder: records, grades, audit, findings and the test split's judgements."""
    records, task, settings = prepared.records, prepared.task, prepared.settings
    with replacing(folder.path("records")) as temporary:
        save_records(records, task.labels, temporary)
    write_json(folder.path("grades"), prepared.grades.to_json())
    found = audit(records, task, prepared.grades.threshold, prepared.protocol, settings.seed)
    write_json(folder.path("audit"), found)
    if records.rejected:
        with replacing(folder.path("rejected")) as temporary:
            save_rejected(records, temporary)
    write_json(folder.path("findings"), [vars(finding) for finding in records.findings])
    write_text(folder.path("qrels"), "".join(_qrels(prepared)))
    return {"records": len(records)}


def _qrels(prepared: Prepared) -> Iterator[str]:
    """Lines of a TREC judgements file: the queries that are measured on the test split."""
    task, ids = prepared.task, prepared.catalogue.ids
    test = task.splits[task.topic] == "test"
    judged = (task.topic[test].tolist(), task.document[test].tolist(), task.gain[test].tolist())
    for topic, document, gain in zip(*judged, strict=True):
        yield f"{task.ids[topic]} 0 {ids[document]} {gain}\n"


def train_system(prepared: Prepared, folder: RunFolder, reporter: Reporter, system: str) -> Facts:
    """Fine-tune the pretrained model as one system and save it; an interrupted training goes on where it stood."""
    model = load_model(prepared.model)
    try:
        from nestvec.training.job import make_job
        from nestvec.training.train import train
    except ImportError as error:
        raise MissingExtraError(error.name or "sentence-transformers", "train") from error
    data = prepared.records, prepared.grades, prepared.task
    job = make_job(model, system, data, prepared.settings, prepared.dimensions, folder.path("mined"))
    if job.examples.unused:
        reporter.say(f"train {system}: {job.examples.unused:,} queries have no relevant document and are left out")
    with reporter.step(f"train {system}", job.steps) as advance:
        trained = train(model, job, folder.checkpoints(system), folder.path("logs") / system, advance)
    if trained.worse:
        reporter.say(
            f"train {system}: recall@10 on validation fell from {trained.worse[0]:.3f} to {trained.worse[1]:.3f}; "
            "a lower --learning-rate is the usual remedy"
        )
    if processes.is_first():
        card = {"system": system, "base": prepared.model.name, "base_sha256": prepared.model.sha256}
        with replacing(folder.model(system)) as temporary:
            save_model(model, temporary, {**card, "dimensions": list(prepared.dimensions)})
    return vars(trained)


def encode_texts(prepared: Prepared, folder: RunFolder, reporter: Reporter, system: str) -> Facts:
    """Encode every query that is measured, then every document, once."""
    from nestvec.vectors.encode import encode

    model = load_model(prepared.model if system == PRETRAINED else find_model(str(folder.model(system))))
    texts = [*prepared.task.texts, *prepared.catalogue.texts]
    with reporter.step(f"encode with {system}", len(texts)) as advance:
        vectors = encode(model, texts, advance)
    with replacing(folder.embeddings(system)) as temporary, temporary.open("wb") as stream:
        np.save(stream, vectors)
    return {"texts": len(texts)}


def evaluate(prepared: Prepared, folder: RunFolder, reporter: Reporter) -> Facts:
    """Rank every point of the surface once, measure it, and say what to ship."""
    topics, settings = prepared.topics, prepared.settings
    points = len(prepared.systems) * len(prepared.dimensions) * len(settings.evaluation.precisions) + 1
    values: Values = {}
    with reporter.step("evaluate", points) as advance:
        for ranking in _rankings(prepared, folder):
            values[ranking.point] = prepared.judgements.measure(topics.rows, ranking.rows)
            with replacing(folder.run(ranking.point.name)) as temporary:
                write_trec_run(ranking, topics, prepared.catalogue, temporary)
            advance(1)
    with replacing(folder.path("per_query")) as temporary:
        save_values(values, topics, temporary)
    rng = np.random.default_rng(settings.seed)
    resamples = settings.evaluation.resamples
    sizes = {split: int((topics.splits == split).sum()) for split in HELD_OUT}
    bootstraps = {split: Bootstrap(size, resamples, rng) for split, size in sizes.items() if size}
    if prepared.trained:
        trainings = [_training(folder, system) for system in prepared.trained]
        write_json(folder.path("training"), {"schema": 1, "systems": trainings})
    results = {
        **_header(prepared),
        "trained": list(prepared.trained),
        "surface": summarise(values, topics, len(prepared.catalogue.ids), bootstraps),
        "comparisons": compare(values, topics, bootstraps["test"], resamples, rng),
        "timings": {name: folder.facts(name)["seconds"] for name in folder.done()},
    }
    write_json(folder.path("results"), results)
    chosen = settings.recommendation
    evidence = gather(values, topics, chosen.metric, bootstraps)
    write_json(folder.path("recommendation"), recommend(evidence, chosen.metric, chosen.margin))
    return {"points": points}


def _rankings(prepared: Prepared, folder: RunFolder) -> Iterator[Ranking]:
    """Every point of the surface, one at a time."""
    grid = prepared.dimensions, prepared.settings.evaluation.precisions
    asked = len(prepared.topics.rows)
    for system in prepared.systems:
        vectors = np.load(folder.embeddings(system), mmap_mode="r")
        yield from rank_dense(system, (vectors[:asked], vectors[asked:]), prepared.catalogue, grid)
    yield rank_bm25(prepared.task.texts, prepared.catalogue)


def _header(prepared: Prepared) -> Facts:
    """What `results.json` says of the data and the model."""
    return {
        "schema": 1,
        "source": prepared.settings.data.source,
        "synthetic": prepared.records.synthetic,
        "threshold": prepared.grades.threshold,
        "relevant_from": prepared.grades.relevant_from,
        "model": prepared.model.name,
        "full_dimension": prepared.model.width,
        "protocol": prepared.protocol,
        "unanswerable": prepared.task.unanswerable,
    }


def _training(folder: RunFolder, system: str) -> Facts:
    """What `training.json` says of a system: what its stage recorded, with the validations point by point."""
    facts = folder.facts(f"train {system}")
    return {"system": system, **facts, "curve": [_validation(figures) for figures in facts["curve"]]}


def _validation(figures: Facts) -> Facts:
    """A validation with a point per dimension and precision; `figures` has names such as `recall@10.384.float32`."""
    points: dict[tuple[int, str], dict[str, float]] = {}
    for name in figures:
        metric, *point = name.split(".")
        if point:
            points.setdefault((int(point[0]), point[1]), {})[metric] = figures[name]
    measured = [{"dimension": at[0], "precision": at[1], "metrics": metrics} for at, metrics in points.items()]
    return {"step": figures["step"], "recall": figures["recall"], "points": measured}


def report(folder: RunFolder) -> Facts:
    """Write the report and its figures."""
    from nestvec.report import write_report

    write_report(folder)
    return {}
