"""The stages of a run: each reads files of earlier stages, writes files, and returns facts to record."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec import distributed
from nestvec.data.audit import audit, note_texts_read
from nestvec.data.records import save_records, save_rejected
from nestvec.errors import ChangedError
from nestvec.evaluation.surface import compare_systems, summarise_surface
from nestvec.files import replacing, sha256, write_json, write_text
from nestvec.lexical.hybrid_file import read_hybrid
from nestvec.models.load import load_model, save_model
from nestvec.pipeline.keyword_stage import find_model_of, read_hashes, settle_hybrid
from nestvec.pipeline.lossless import Alike, find_lossless
from nestvec.pipeline.rank_points import count_points, fit_codecs, list_folds, rank_points
from nestvec.point import BM25_DEFAULT, PLAIN, PRETRAINED, VectorFormat
from nestvec.processors import make_ahead
from nestvec.recommending.choose import gather_evidence, recommend
from nestvec.recommending.sentences import say_folds, say_unmatched
from nestvec.runs.tables import write_per_query, write_ranking
from nestvec.settings import CUTOFF, cutoff_of
from nestvec.vectors.stored import save_codecs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.evaluation.surface import Values
    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.pipeline.inputs import Prepared
    from nestvec.progress import Reporter
    from nestvec.recommending.evidence import Evidence
    from nestvec.runs.folder import RunFolder
    from nestvec.vectors.codecs import Codec

Facts = dict[str, Any]


def write_data(prepared: Prepared, folder: RunFolder) -> Facts:
    """Write a run's data files: records, grades, leaks, findings of the check, and the test split's judgements."""
    records, task, settings = prepared.records, prepared.task, prepared.settings
    with replacing(folder.path("records")) as temporary:
        save_records(records, task.labels, temporary)
    _write_texts(prepared, folder)
    write_json(folder.path("grades"), prepared.grades.to_json())
    audited = audit(records, task, prepared.grades.threshold, prepared.protocol, settings.seed)
    write_json(folder.path("audit"), audited | note_texts_read(settings.training.adapted_on))
    if records.rejected:
        with replacing(folder.path("rejected")) as temporary:
            save_rejected(records.rejected, temporary)
    write_json(folder.path("findings"), [vars(finding) for finding in records.findings])
    queries, documents = prepared.trec_ids
    if queries.forms or documents.forms:
        write_json(folder.path("trec_ids"), {"queries": queries.names, "documents": documents.names})
    write_text(folder.path("qrels"), "".join(_qrel_lines(prepared)))
    return {"records": len(records)}


def _write_texts(prepared: Prepared, folder: RunFolder) -> None:
    """Write the texts to encode, in the order of their vectors: validation and test queries, and the documents."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    task, catalogue = prepared.task, prepared.catalogue
    queries = {"query_id": list(task.ids), "query": list(task.texts), "split": task.splits.tolist()}
    if task.fold is not None:
        queries["fold"] = task.fold.astype(str).tolist()
    documents = {"document_id": list(catalogue.ids), "document": list(catalogue.texts)}
    for name, columns in {"queries": queries, "catalogue": documents}.items():
        with replacing(folder.path(name)) as temporary:
            pq.write_table(pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()}), temporary)


def _qrel_lines(prepared: Prepared) -> Iterator[str]:
    """Write the judgements of the test queries as lines of a TREC qrels file."""
    task, (queries, documents) = prepared.task, prepared.trec_ids
    query_ids = [queries.write(name) for name in task.ids]
    ids = [documents.write(name) for name in prepared.catalogue.ids]
    test = task.splits[task.topic] == "test"
    judged = (task.topic[test].tolist(), task.document[test].tolist(), task.gain[test].tolist())
    for topic, document, gain in zip(*judged, strict=True):
        yield f"{query_ids[topic]} 0 {ids[document]} {gain}\n"


def train_system(prepared: Prepared, folder: RunFolder, reporter: Reporter, system: str) -> Facts:
    """Fine-tune the model of one system and save it; an interrupted training continues from the last checkpoint.

    Training starts from the pretrained model or, with `--adapt`, from the model of the system `adapted`.
    """
    start = prepared.settings.training.start_of(system)
    model = load_model(find_model_of(prepared, folder, start))
    from nestvec.training.examples import TrainingData
    from nestvec.training.job import make_job
    from nestvec.training.train import train

    data = TrainingData.of(prepared.records, prepared.grades, prepared.task.learning)
    job = make_job(model, system, data, prepared.settings, prepared.dimensions, folder.path("mined"))
    if job.examples.unused:
        reporter.say(f"train {system}: leaves out queries without a relevant document: {job.examples.unused:,}")
    if start != PRETRAINED:
        reporter.say(f"train {system}: starts from the model of {start}, not from the pretrained model")
    with reporter.step(f"train {system}", job.steps) as advance:
        trained = train(model, job, folder.checkpoints(system), folder.path("logs") / system, advance)
    if trained.worse:
        reporter.say(
            f"train {system}: recall@10 on validation fell from {trained.worse[0]:.3f} to {trained.worse[1]:.3f} "
            "(against a part of the documents); try a lower --learning-rate"
        )
    if distributed.is_first():
        card = {"system": system, "base": prepared.model.name, "base_sha256": prepared.model.sha256, "start": start}
        with replacing(folder.model(system)) as temporary:
            save_model(model, temporary, {**card, "dimensions": list(prepared.dimensions)})
    return vars(trained)


def encode_texts(prepared: Prepared, folder: RunFolder, reporter: Reporter, system: str) -> Facts:
    """Encode all validation and test queries, then all documents, with a system's model, and write the vectors."""
    from nestvec.pipeline.surface_encoder import encode_surface

    model = find_model_of(prepared, folder, system)
    with reporter.step(f"encode with {system}", len(prepared.task.texts) + len(prepared.catalogue.ids)) as advance:
        vectors, encoded_by = encode_surface(prepared, model, advance)
    with replacing(folder.embeddings(system)) as temporary:
        with temporary.open("wb") as stream:
            np.save(stream, vectors)
        digest = sha256(temporary)
    return {"texts": len(vectors), "model": model.hashes, "vectors": digest, "encoded_by": encoded_by}


def evaluate(prepared: Prepared, folder: RunFolder, reporter: Reporter) -> Facts:
    """Rank and measure with every system and vector format, and write the results and the recommendation."""
    topics, settings = prepared.topics, prepared.settings
    cutoffs = tuple(sorted({CUTOFF, *settings.evaluation.cutoffs}))
    test = topics.splits == "test"
    query_ids, document_ids = prepared.trec_ids
    tested = [query_ids.write(topics.ids[row]) for row in np.flatnonzero(test).tolist()]
    ids = [document_ids.write(name) for name in prepared.catalogue.ids]
    hybrid, facts = read_hybrid(folder.path("hybrid")), folder.facts("fit")
    _refuse_other_vectors(prepared, folder)
    values: Values = {}
    codecs: dict[str, dict[str, Codec]] = {}
    alike = Alike(max(CUTOFF, cutoff_of(settings.recommendation.metric)))
    unmatched = 0  # queries that share no word with any document
    with reporter.step("evaluate", count_points(prepared)) as advance:
        for ranking in make_ahead(rank_points(prepared, folder)):
            point = ranking.point
            alike.add(ranking)
            if point.system == BM25_DEFAULT:
                unmatched = int((ranking.scores[:, 0] <= 0).sum())
            values[point] = prepared.judgements.measure(topics.rows, ranking.rows, cutoffs)
            if ranking.codec is not None and point.kind == PLAIN:
                codecs.setdefault(point.system, {})[point.format.name] = ranking.codec
            with replacing(folder.run(point.name)) as temporary:
                documents = ([ids[row] for row in rows] for rows in ranking.rows[test].tolist())
                write_ranking(temporary, point.name, tested, documents, ranking.scores[test])
            advance(1)
    with replacing(folder.path("per_query")) as temporary:
        write_per_query(temporary, values, topics.ids, topics.splits.tolist())
    if prepared.task.folds:
        codecs = fit_codecs(prepared, folder)
    for system, fitted in codecs.items():
        with replacing(folder.codecs(system)) as temporary:
            save_codecs(temporary, fitted)
    if trainings := [_describe_training(folder, system) for system in prepared.trained]:
        write_json(folder.path("training"), {"schema": 1, "systems": trainings})
    rng, resamples = np.random.default_rng(settings.seed), settings.evaluation.resamples
    bootstraps = topics.bootstraps(resamples, rng)
    results = {
        **_describe_input(prepared),
        "trained": list(prepared.trained),
        "starts": {system: settings.training.start_of(system) for system in prepared.trained},
        "adapted_on": settings.training.adapted_on,
        "cutoffs": list(cutoffs),
        "lexical": {
            "language": settings.evaluation.language,
            "queries": len(topics.ids),
            "queries_without_match": unmatched,
            "fitted_on": facts["queries"],
            "tried": facts["tried"],
        },
        "hybrid": hybrid.to_json(),
        "surface": summarise_surface(values, topics, len(prepared.catalogue.ids), bootstraps),
        "comparisons": compare_systems(values, topics, bootstraps["test"], resamples, rng),
        "codec_extras": {
            f"{system}.{stored}": codec.extra_bytes
            for system, fitted in codecs.items()
            for stored, codec in fitted.items()
            if codec.extra_bytes
        },
        "measured_with": _describe_measured_with(prepared, folder),
        "encoded_by": {
            system: by
            for system in prepared.systems
            if (by := folder.facts(f"encode {system}").get("encoded_by"))  # earlier versions did not record this
        },
        "timings": _list_timings(prepared, folder),
    }
    write_json(folder.path("results"), results)
    lossless = find_lossless(prepared, folder, hybrid, alike)
    evidence = gather_evidence(values, topics, settings.recommendation.metric, bootstraps, lossless)
    _write_recommendation(prepared, folder, hybrid, evidence, unmatched)
    return {"points": len(values)}


def _write_recommendation(
    prepared: Prepared, folder: RunFolder, hybrid: Hybrid, evidence: dict[str, Evidence], unmatched: int
) -> None:
    """Write `recommendation.json` (what to ship and why) and `hybrid.json` (the settings of fused search)."""
    found = recommend(evidence, prepared.settings.recommendation)
    found["folds"] = len(prepared.task.folds)
    told = say_folds(found["folds"], bool(prepared.trained)) + say_unmatched(unmatched, len(prepared.topics.ids))
    found["reason"] = " ".join([found["reason"], *told])
    write_json(folder.path("recommendation"), found | settle_hybrid(folder, hybrid, found["point"]))


def _describe_input(prepared: Prepared) -> Facts:
    """Describe the data and the model for `results.json`."""
    return {
        "schema": 1,
        "source": prepared.settings.data.name,
        "synthetic": prepared.records.synthetic,
        "threshold": prepared.grades.threshold,
        "relevant_from": prepared.grades.relevant_from,
        "model": prepared.model.name,
        "full_dimension": prepared.dimensions[0],
        "prompts": {system: asdict(prompts) for system, prompts in prepared.prompts.items()},
        "protocol": prepared.protocol,
        "folds": len(prepared.task.folds),
        "unanswerable": prepared.task.unanswerable,
        "missing_models": prepared.missing,
    }


def _refuse_other_vectors(prepared: Prepared, folder: RunFolder) -> None:
    """Raise ChangedError if a file of vectors has changed since the run wrote it."""
    for system in prepared.systems:
        stated, file = read_hashes(folder, system).vectors, folder.embeddings(system)
        if stated and sha256(file) != stated:
            wanted = f"the vectors of {system}; to encode them again, delete {folder.stage_marker(f'encode {system}')}"
            raise ChangedError("has changed since the run wrote this file", wanted, file=file)


def _describe_measured_with(prepared: Prepared, folder: RunFolder) -> Facts:
    """Return, for `results.json`, the hashes of each system's files of model, vectors and codecs."""
    known = {system: read_hashes(folder, system) for system in prepared.systems}
    return {
        system: asdict(replace(hashes, codecs=sha256(folder.codecs(system))))
        for system, hashes in known.items()
        if hashes.model  # earlier versions did not record hashes
    }


def _list_timings(prepared: Prepared, folder: RunFolder) -> dict[str, float]:
    """Map each finished stage to the seconds that it took; stages of folds are named like `fold 1 train mnr`."""
    timed = {"": folder} | {f"fold {number} ": fold for number, (_, fold) in enumerate(list_folds(prepared, folder), 1)}
    return {f"{before}{name}": part.facts(name)["seconds"] for before, part in timed.items() for name in part.done()}


def _describe_training(folder: RunFolder, system: str) -> Facts:
    """Describe a system's training for `training.json`: the recorded facts, and validation figures by vector format."""
    facts = folder.facts(f"train {system}")
    return {"system": system, **facts, "curve": [_nest_validation(figures) for figures in facts["curve"]]}


def _nest_validation(figures: Facts) -> Facts:
    """Group a validation's figures, named like `recall@10.384.float32`, by dimension and precision."""
    points: dict[VectorFormat, dict[str, float]] = {}
    for name in figures:
        metric, _, stored = name.partition(".")
        if stored:
            points.setdefault(VectorFormat.parse(stored), {})[metric] = figures[name]
    measured = [{**vars(stored), "metrics": metrics} for stored, metrics in points.items()]
    return {"step": figures["step"], "recall": figures["recall"], "points": measured}


def write_page(folder: RunFolder) -> Facts:
    """Write the report of a run and the figures in the report."""
    from nestvec.report import write_report
    from nestvec.runs.run import Run

    write_report(Run(folder))
    return {}
