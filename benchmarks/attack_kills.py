"""SIGKILL at random moments of run, export, index, upsert, encode and tune; then the same command to its end.

Half of the kills fall at a random time. The others fall right before one of the changes that the command makes to files
and folders, as Python's audit events tell them: a rename, a removal, a new folder, a lock, a file opened for writing.
After each kill, a reader must find what was there before the command, or what it makes. The command is given again, is
killed again some times, and must then end with what an undisturbed one leaves, and nothing besides. Every process is
forked from one that has imported everything, and models are tiny, so that two hundred kills take minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from _killing import CONTEXT, Attack, Command, Target
from _outcome import Outcome
from safetensors import safe_open

from nestvec.indexing.index import open_index
from nestvec.models.export_card import read_card

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from tables import THINGS, rows, write_csv  # type: ignore[import-not-found]  # a helper of the tests

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = 200
PRELOADED = [
    "faiss", "matplotlib.pyplot", "optuna", "sentence_transformers", "nestvec.cli", "nestvec.encoding.encode_file",
    "nestvec.exporting.export_model", "nestvec.indexing.index", "nestvec.pipeline.run_stages", "nestvec.report",
    "nestvec.training.train", "nestvec.tuning.study",
]  # fmt: skip
SMALL = ["--compute", "float32", "--dimensions", "16", "--precisions", "float32,int8", "--resamples", "100"]
TRAINED = [*SMALL, "--epochs", "1", "--batch-size", "8", "--validate-every", "4", "--threshold", "2.5"]
POINT = ["--system", "mnr", "--dimension", "16", "--precision", "int8"]
VARYING = ("attempts", "seconds", "timings", "worker")  # what is another each time, in JSON
UNTOLD = re.compile(r"report\.html|figures/.*|trials\.csv|study\.journal|.*\.lock|\.locks/.*")  # and whole files
SKIPPED = re.compile(r"logs/.*")  # whose names are others each time, too


# What a reader finds


def read_safetensors(path: Path) -> None:
    """Read every tensor."""
    with safe_open(path, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - it is no mapping
            tensors.get_tensor(name)


READERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".parquet": lambda path: pq.read_table(path),
    ".safetensors": read_safetensors,
    ".trec": lambda path: [int(line.split()[3]) for line in path.read_text(encoding="utf-8").splitlines()],
}


def read_all(place: Path) -> None:
    """Read every file but those under temporary names; raises where one is damaged."""
    for path in sorted(place.rglob("*")):
        parts = path.relative_to(place).parts
        if path.is_file() and path.suffix in READERS and not any(part.endswith((".writing", ".tmp")) for part in parts):
            READERS[path.suffix](path)


def read_export(place: Path) -> object:
    """An export's card, whose hashes were compared, and the user's own file beside it."""
    return read_card(place / "out"), (place / "out" / "notes.txt").read_text()


def answers(place: Path) -> object:
    """How many documents an index holds, and what it finds, scores included."""
    with open_index(place / "run") as index:
        asked = np.asarray(index.selection.query_vectors[:20])
        hits = index.store.search(asked, 10, exact=True)
        if index.about.hybrid is not None:
            hits += index.store.search_fused(index.selection.run.queries.texts[:20], asked, 10, exact=True)
        told = [[(hit.id, round(hit.score, 6), hit.text, dict(hit.fields)) for hit in each] for each in hits]
        return len(index.store), told


# What is there at the end


def contents(place: Path) -> dict[str, str]:
    """Every file's name and hash, without what is another each time."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        inner = re.sub(r"^(run|study|out)/", "", name)
        if not path.is_file() or SKIPPED.fullmatch(inner):
            continue
        data = b"" if UNTOLD.fullmatch(inner) else path.read_bytes()
        if path.suffix == ".json" and data:
            data = json.dumps(without_times(json.loads(data)), sort_keys=True).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def without_times(value: Any) -> Any:  # noqa: ANN401 - anything JSON can hold
    """The same without what is another each time, at any depth."""
    if isinstance(value, dict):
        return {name: without_times(inner) for name, inner in value.items() if name not in VARYING}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def index_contents(place: Path) -> dict[str, object]:
    """What an index answers and which files lie about; a generation's number and segments may be others."""
    paths = [path.relative_to(place / "run" / "index") for path in (place / "run" / "index").rglob("*")]
    shallow = [path.as_posix() for path in paths if len(path.parts) < 3 or path.name.startswith(".")]
    return {"answers": answers(place), "files": sorted(re.sub(r"/\d{6}$", "/generation", name) for name in shallow)}


# The commands


def make_base(folder: Path) -> None:
    """A tiny model, tables, and a run of them with an index and an export, from which the attacks begin."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads cost such models more than they bring
    CONTEXT.set_forkserver_preload(PRELOADED)
    process = CONTEXT.Process(target=save_model, args=(folder / "tiny",))
    process.start()
    process.join()
    write_csv(folder / "judged.csv", rows(queries=60))
    for name, first in (("new", 0), ("more", 100)):
        texts = [f"{THINGS[row % 10]} new number {row}" for row in range(first, first + 200)]
        write_csv(folder / f"{name}.csv", [{"sku": f"n{first + row}", "title": text} for row, text in enumerate(texts)])
    run, indexed, out = (str(folder / name) for name in ("run", "indexed", "out"))
    judged, tiny, new = (str(folder / name) for name in ("judged.csv", "tiny", "new.csv"))

    def order(*words: str) -> None:
        problem = Command(list(words), folder / "log").finish()
        if problem:
            raise SystemExit(f"nestvec {' '.join(words)}: {problem}")

    order("run", judged, "--out", run, "--model", tiny, "--systems", "mnr", *TRAINED)
    order("export", run, "--out", out, "--to", "onnx", *POINT)
    (folder / "out" / "notes.txt").write_text("mine")
    order("index", run, *POINT)
    shutil.copytree(run, indexed)
    order("index", indexed, *POINT, "--documents", new, "--document", "title", "--document-id", "sku")


def save_model(folder: Path) -> None:
    """Save a tiny BERT."""
    from tiny_models import pooled  # type: ignore[import-not-found]  # a helper of the tests

    from nestvec.models.load import quiet_libraries

    with quiet_libraries():
        pooled("mean")(folder)


def make_targets(base: Path) -> dict[str, Target]:
    """The commands by name."""
    judged, tiny, run = str(base / "judged.csv"), str(base / "tiny"), base / "run"
    documents = ["--document", "title", "--document-id", "sku"]
    study = [*TRAINED, "--systems", "mnr", "--search", "data-size", "--repeats", "2"]
    return {
        "run": Target(
            lambda place: ["run", judged, "--out", str(place / "run"), "--model", tiny, "--systems", "mnr", *TRAINED],
            lambda place: None,
            read_all,
            contents,
        ),
        "export": Target(
            lambda place: ["export", str(run), "--out", str(place / "out"), *POINT],
            lambda place: shutil.copytree(base / "out", place / "out"),
            read_export,
            contents,
        ),
        "index": Target(
            lambda place: ["index", str(place / "run"), *POINT, "--documents", str(base / "new.csv"), *documents],
            lambda place: shutil.copytree(base / "run", place / "run"),
            answers,
            index_contents,
        ),
        "upsert": Target(
            lambda place: ["index", str(place / "run"), "--upsert", str(base / "more.csv"), *documents],
            lambda place: shutil.copytree(base / "indexed", place / "run"),
            answers,
            index_contents,
        ),
        "encode": Target(
            lambda place: [
                "encode", tiny, str(base / "new.csv"), "--column", "title", "--id-column", "sku",
                "--dimension", "16", "--precision", "int8", "--out", str(place / "out.parquet"),
            ],
            lambda place: shutil.copy(base / "run" / "data" / "records.parquet", place / "out.parquet"),
            lambda place: hashlib.sha256((place / "out.parquet").read_bytes()).hexdigest(),
            contents,
        ),
        "tune": Target(
            lambda place: ["tune", judged, "--out", str(place / "study"), "--model", tiny, *study],
            lambda place: None,
            read_all,
            contents,
        ),
    }  # fmt: skip


def attack(run: Path, folder: Path, effort: float, seed: int) -> Outcome:
    """Kill each command many times.

    Args:
        run: not looked at; a smaller one is made.
        folder: empty.
        effort: 1 kills 200 times.
        seed: decides the moments.

    Returns:
        What was found: every kill is an attempt, and every end of a command that had been killed.
    """
    del run
    outcome, rng, base = Outcome("kills"), random.Random(seed), folder / "base"
    base.mkdir()
    make_base(base)
    targets = make_targets(base)
    kills = max(round(KILLS * effort), len(targets))
    for number, (name, target) in enumerate(targets.items()):
        (folder / name).mkdir()
        share = kills // len(targets) + (number < kills % len(targets))
        Attack(name, target, folder / name, outcome, rng).run(share)
    outcome.figures["kills"] = kills
    return outcome
