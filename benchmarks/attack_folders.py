"""Mutated files of a run's, an index's and an export's folder, each opened by the commands that read them.

A command must end with its answer or with one line and exit code 2: no traceback, no hang, no more than `_MEMORY`
bytes, nothing read or removed outside the folder, and where a checksum is recorded never another answer. Commands are
called inside of processes that are started again when they hang or crash.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _mutate import SECRET, mutate
from _outcome import Outcome
from _server import processor_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_ATTEMPTS = 2000
_SECONDS = 60.0  # of the processors that a command may take, and five times as many by the clock; a model takes ten
_MEMORY = 2 * 2**30  # bytes that a command may take more than the same command on the folder as it was
_ADDRESSES = 12 * 2**30  # bytes that a process may map: more would be taken from the whole machine
_LONGEST = 2500  # letters of a message
_QUERY = "steel hammer"
_SEALED = (".faiss", ".npy", ".safetensors")  # files whose checksums an index or an export records
_EXPORTS = ("onnx", "sentence-transformers")
_INDEX: dict[str, Any] = {"system": "pretrained", "dimension": 48, "precision": "int8", "axes": True}


@dataclass(frozen=True)
class Case:
    """One file that is changed, and the command that reads it."""

    number: int
    seed: int
    folder: str  # below the worker's own copy of all folders
    file: str
    command: str
    is_sealed: bool  # whether the attacker writes the checksums that go with the change


def _search(mode: str, place: Path) -> object:
    """Hits, whose scores are rounded: without its graph a model's vectors come by PyTorch, which rounds otherwise."""
    printed = _type("search", str(place / "run"), _QUERY, "--top", "5", "--json", "--mode", mode)
    return [{**hit, "score": round(hit["score"], 4)} for hit in map(json.loads, printed.splitlines())]


def _type(*words: str) -> str:
    """What a command line prints."""
    from nestvec.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        app(list(words), standalone_mode=False)
    return printed.getvalue()


def _serve(place: Path) -> object:
    """What a server does before it is ready, and some of what it is asked; no model is loaded."""
    from nestvec.runs.choose_point import PointSettings
    from nestvec.serving.keyword_search import Query
    from nestvec.serving.service import Service

    service = Service.open(place / "run")
    try:
        service.warm_up()
        words = service.keywords.rank(Query(_QUERY, None), 5)
        point = service.find_point(PointSettings(**_INDEX))
        vector = service._dense["pretrained"].query_vectors[0]
        coded = service._code_cache.get(point)
        json.dumps(service.summarise())
        texts = list(service._judged._queries)[:50]
        return [service.find_judgements(text) for text in texts], words, coded.top_k(vector, 5, service._pool)
    finally:
        service.close()


def _upsert(place: Path) -> object:
    """Documents that come and go, without a model."""
    import numpy as np

    from nestvec.stores.embedded import EmbeddedStore
    from nestvec.stores.store import Batch, Condition

    with contextlib.closing(EmbeddedStore(place / "run/index/embedded")) as store:
        vector = np.eye(1, 384, dtype=np.float32)
        store.upsert([Batch(["a"], ["steel"], vector, [{"price": 1}])])
        found = store.search(vector, 3), store.search_fused(["steel"], vector, 3, [Condition("price", "<", "2")])
        return store.delete(["a"]), found, len(store), store.size() > 0


def _open_export(name: str, place: Path) -> object:
    from nestvec.models.encoder import open_encoder

    return open_encoder(place / name).encode([_QUERY], "query").tobytes()


def _build(place: Path) -> object:
    from nestvec.indexing.index import build_index

    with build_index(place / "run", **_INDEX) as index:
        return len(index.store)


def _export(place: Path) -> object:
    chosen = ["--system", "pretrained", "--dimension", "48", "--axes"]
    return _type("export", str(place / "run"), *chosen, "--out", str(place / "x"))


COMMANDS: dict[str, Callable[[Path], object]] = {
    "search words": lambda place: _search("words", place),
    "search vectors": lambda place: _search("vectors", place),
    "search fused": lambda place: _search("fused", place),
    "serve": _serve,
    "upsert": _upsert,
    "index": _build,
    "compare": lambda place: _type("compare", str(place / "run"), str(place / "before")),
    "compared": lambda place: _type("compare", str(place / "before"), str(place / "run")),
    "verify": lambda place: _type("index", str(place / "run"), "--verify"),
    "export": _export,
    "encode onnx": lambda place: _open_export("onnx", place),
    "encode sentence-transformers": lambda place: _open_export("sentence-transformers", place),
}
_INDEX_COMMANDS = ("search words", "search words", "search vectors", "search fused", "upsert", "serve", "verify")
_RUN_COMMANDS = ("serve", "serve", "compare", "compared", "index", "verify", "search words", "export")


def _list_cases(base: Path, count: int, seed: int) -> list[Case]:
    """Files and commands, drawn: two fifths an index's files, two fifths a run's, one fifth an export's."""
    rng = random.Random(seed)
    files = {kind: _list_files(base / kind) for kind in ("run/index", "run", "onnx", "sentence-transformers")}
    files["run"] = [file for file in files["run"] if not file.startswith("index/")]
    cases = []
    for number in range(count):
        kind = rng.choices(list(files), (4, 4, 1, 1))[0]
        commands = {"run": _RUN_COMMANDS, "run/index": _INDEX_COMMANDS}.get(kind, (f"encode {kind}",))
        file = rng.choice(files[kind])
        if kind == "run" and file.startswith(("runs/", ".stages/", "figures/", "tables/")) and rng.random() < 0.8:
            file = rng.choice([name for name in files[kind] if not name.startswith(("runs/", ".stages/"))])
        cases.append(Case(number, rng.randrange(2**32), kind, file, rng.choice(commands), rng.random() < 0.4))
    return cases


def _list_files(folder: Path) -> list[str]:
    """Files that commands read; of a run not those that are for people."""
    people = (".html", ".svg", ".png", ".csv", ".md", ".lock")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in people)
    names = [path.relative_to(folder).as_posix() for path in files]
    return [name for name in names if "recipes/" not in name and ".lock" not in name]


def _reseal(place: Path, case: Case) -> None:
    """Write the checksums that go with the changed file, as whoever made a folder on purpose would."""
    path = place / case.folder / case.file
    if not path.is_file():
        return
    if case.folder == "run/index" and path.suffix in (".faiss", ".npy"):
        import sqlite3

        from nestvec.stores.segment import _file_checksum

        with contextlib.closing(sqlite3.connect(path.parent / "documents.sqlite")) as base:
            [(checks,)] = base.execute("SELECT checks FROM segments").fetchall()
            name = "words" if path.suffix == ".npy" else path.name.split(".", 1)[1].removesuffix(".faiss")
            changed = json.dumps({**json.loads(checks), name: _file_checksum(path)})
            base.execute("UPDATE segments SET checks = ?", (changed,))
            base.commit()
    elif case.folder in ("onnx", "sentence-transformers") and path.suffix in (".json", ".txt"):
        from nestvec.files import sha256

        card = place / case.folder / "nestvec.json"
        if path != card:
            values = json.loads(card.read_text())
            values["files"][case.file] = sha256(path)
            card.write_text(json.dumps(values))


def _work(place: Path, base: Path, pipe: Connection) -> None:
    """A process: for each case, change a file of its own copy, run the command, and tell how it ended."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("NESTVEC_STORE", None)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    for kind in ("run", "onnx", "sentence-transformers", "before"):
        _copy(base / ("run" if kind == "before" else kind), place / kind)
    (place / "outside").mkdir()
    (place / "outside/secret").write_text(SECRET)
    expected: dict[str, object] = {}
    opened: list[str] = []
    outside = str(place / "outside")
    sys.addaudithook(lambda event, values: opened.append(str(values[0])) if event == "open" else None)
    while (case := pipe.recv()) is not None:
        if case.command not in expected:
            expected[case.command] = _show(COMMANDS[case.command](place))
            _restore(place, base, "run")
        pipe.send(None)
        path, others = place / case.folder / case.file, list((place / case.folder).rglob("*"))
        rng = random.Random(case.seed)
        way = mutate(rng, path, [other for other in others if other.is_file()], place / "outside")
        if case.is_sealed:
            _reseal(place, case)
        opened.clear()
        end = _try_command(case, place, expected[case.command])
        if way != "link to a text" and any(Path(os.path.realpath(name)).is_relative_to(outside) for name in opened):
            end["problem"] = end["problem"] or "read a file outside of the folder"
        if not (place / "outside/secret").is_file() or (place / "outside/secret").read_text() != SECRET:
            end["problem"] = "changed a file outside of the folder"
            (place / "outside/secret").write_text(SECRET)
        _restore(place, base, case.folder.split("/")[0])
        pipe.send({**end, "way": way})


def _try_command(case: Case, place: Path, expected: object) -> dict[str, Any]:
    """How a command ends: what was wrong with it, or nothing."""
    from nestvec.errors import NestvecError

    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before, problem, ended = _peak(), None, "answered"
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            if _show(COMMANDS[case.command](place)) != expected and _is_recorded(case):
                problem = "another answer, and no word of it"
        except NestvecError as error:
            ended, problem = "refused", _judge_message(case, error)
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-3:]
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
            problem = f"{type(error).__name__}: {str(error)[:120]} at {where}"
    if "Traceback" in said.getvalue():
        problem = problem or "a traceback on standard error"
    if _peak() - before > _MEMORY:
        problem = problem or f"{(_peak() - before) / 2**20:,.0f} MB"
    return {"problem": problem, "ended": ended, "peak": _peak() - before}


def _is_recorded(case: Case) -> bool:
    """Whether a checksum of the changed file is written down and was left as it was."""
    if case.is_sealed or case.file.endswith("nestvec.json"):
        return False
    return case.folder in _EXPORTS or Path(case.file).suffix in _SEALED


def _judge_message(case: Case, error: Exception) -> str | None:
    """What is wrong with a refusal."""
    message, code = str(error), getattr(error, "exit_code", 1)
    if code != 2 and not (code == 1 and case.command == "verify"):  # which ends so where it finds a difference
        return f"exit code {code}: {message[:200]}"
    if "cannot be reached" in message:
        return f"asked a host that nobody named: {message[:200]}"
    is_line = len(message) <= _LONGEST and message.isprintable()
    return None if is_line else f"a message of {len(message)} letters, or of several lines"


def _peak() -> int:
    """The most bytes of memory that this process has held since the last reset."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _show(value: object) -> str:
    return repr(value)


def _copy(source: Path, target: Path) -> None:
    """A copy whose large files are links to the originals: they are replaced, and never written into."""

    def copy_or_link(one: str, other: str) -> None:
        (os.link if Path(one).stat().st_size > 10**6 else shutil.copy2)(one, other)

    shutil.copytree(source, target, copy_function=copy_or_link)


def _restore(place: Path, base: Path, kind: str) -> None:
    """Put all files of a folder back as they were."""
    shutil.rmtree(place / "x", ignore_errors=True)
    shutil.rmtree(place / kind)
    _copy(base / kind, place / kind)


class Worker:
    """A process that tries cases, and is started again when one hangs or ends it."""

    def __init__(self, place: Path, base: Path) -> None:
        self.place, self.base, self.starts = place, base, 0
        self.case: Case | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.starts += 1
        own = self.place / str(self.starts)
        own.mkdir(parents=True)
        self.process = context.Process(target=_work, args=(own, self.base, other), daemon=True)
        self.process.start()
        other.close()

    def _start_clock(self) -> None:
        self.began, self.spent = time.monotonic(), processor_seconds(self.process.pid)

    def take(self, case: Case) -> None:
        """Begin a case."""
        self.case = case
        self._start_clock()
        self.pipe.send(case)

    def end(self) -> dict[str, Any] | None:
        """How the case ended; None while it runs."""
        try:
            if self.pipe.poll(0.02):
                end: dict[str, Any] | None = self.pipe.recv()
                if end is None:  # the folder as it was has been asked before
                    self._start_clock()
                return end
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            self._start()
            return {"problem": f"the process ended with {code}", "ended": "crashed", "way": "?", "peak": 0}
        spent = processor_seconds(self.process.pid) - self.spent
        if spent > _SECONDS or time.monotonic() - self.began > 5 * _SECONDS:
            self.process.kill()
            self.process.join()
            self._start()
            return {"problem": "hung", "ended": "hung", "way": "?", "peak": 0}
        return None


def _prepare(run: Path, base: Path) -> None:
    """The folders as they are: the run with an index, and two exports of it."""
    from nestvec.exporting.export_model import export

    shutil.copytree(run, base / "run")
    _build(base)
    for target in _EXPORTS:
        export(base / "run", base / target, target, **_INDEX)


def _try_cases(base: Path, folder: Path, cases: list[Case]) -> Outcome:
    """Try cases in two processes."""
    outcome, ends, peak = Outcome("folders"), Counter[str](), 0
    workers = [Worker(folder / f"worker{number}", base) for number in range(min(2, os.cpu_count() or 1))]
    waiting = list(reversed(cases))
    try:
        while waiting or any(worker.case for worker in workers):
            for worker in workers:
                if worker.case is None and waiting:
                    worker.take(waiting.pop())
                case = worker.case
                if case is None or (end := worker.end()) is None:
                    continue
                sealed = " sealed" * case.is_sealed
                outcome.judge(
                    f"{case.number} {case.folder}/{case.file} {end['way']}{sealed}: {case.command}", end["problem"]
                )
                ends[end["ended"]] += 1
                peak = max(peak, end["peak"])
                worker.case = None
                if outcome.tried % 100 == 0:
                    print(f"    {outcome.tried} of {len(cases)}, {len(outcome.fell)} fell", flush=True)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
    outcome.figures = {**ends, "most_memory_mb": round(peak / 2**20)}
    return outcome


def attack(run: Path, folder: Path, effort: float, seed: int) -> Outcome:
    """Try `_ATTEMPTS` changes times `effort`; see `attack.py`."""
    _prepare(run, folder / "base")
    cases = _list_cases(folder / "base", max(1, round(_ATTEMPTS * effort)), seed)
    return _try_cases(folder / "base", folder, cases)
