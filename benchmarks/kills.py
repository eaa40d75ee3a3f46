"""`nestvec index` killed with SIGKILL at random moments and started again, beside one that nobody disturbed.

    python benchmarks/kills.py --run DIR [--store embedded|postgres] [--kills 20] [--documents 2000] [--seed 1]

DIR is a finished run; it is copied. An index of its documents serves throughout. A file of other documents is then
indexed in its place, encoding included, and killed again and again, each time at a moment drawn evenly from what an
undisturbed build takes. After each kill the index must answer as before the build or as after it. Then documents are
replaced and removed in the same way. At the end the index must hold and answer what an undisturbed one does, and no
file may be left over; otherwise the exit code is 1. The last line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nestvec.indexing.index import open_index
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run

sys.path.append(str(Path(__file__).parent.parent / "tests"))

LAST = 1.05  # of an undisturbed build's time, within which a kill falls
ASKED = 50  # queries


@dataclass
class Work:
    """A command that is killed until the kills are spent, then left to end.

    Attributes:
        words: of `nestvec index`.
        seconds: that it takes undisturbed.
        states: what the index may answer meanwhile; none: anything.
        fell: how many kills found it running.
        wrong: how many found an index that answered anything else.
    """

    words: list[str]
    seconds: float = 0.0
    states: list[object] = field(default_factory=list)
    fell: int = 0
    wrong: int = 0

    def start(self) -> subprocess.Popen[bytes]:
        """Begin it in a process of its own."""
        command = [sys.executable, "-m", "nestvec", "index", *self.words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self) -> None:
        """Let it end."""
        began = time.perf_counter()
        with self.start() as process:
            _, told = process.communicate()
            if process.returncode:
                raise SystemExit(
                    f"nestvec index {' '.join(self.words)} ended with {process.returncode}: {told.decode()}"
                )
        self.seconds = time.perf_counter() - began

    def disturb(self, kills: int, rng: random.Random, run: Path) -> None:
        """Kill it again and again, search the index each time, and let it end at last."""
        whole = self.seconds
        for _ in range(kills):
            with self.start() as process:
                try:
                    process.wait(rng.uniform(0.0, LAST * whole))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    self.fell += 1
            found = answers(run)
            self.wrong += bool(self.states) and found not in self.states
        self.finish()


def answers(run: Path) -> object:
    """How many documents an index holds, and what it finds, scores included."""
    index = open_index(run)
    try:
        asked = np.asarray(index.selection.query_vectors[:ASKED])
        hits = index.store.search(asked, 10, exact=True)
        if index.about.hybrid is not None:
            hits += index.store.search_fused(index.selection.run.queries.texts[:ASKED], asked, 10, exact=True)
        return len(index.store), [
            [(hit.id, round(hit.score, 6), hit.text, dict(hit.fields)) for hit in each] for each in hits
        ]
    finally:
        index.close()


def write_documents(path: Path, texts: list[str], first: int, count: int) -> None:
    """A CSV of documents made of a run's texts, numbered anew."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sku", "title", "shelf"])
        for row in range(first, first + count):
            writer.writerow([f"n{row}", f"{texts[row % len(texts)]} {row // len(texts)}", row % 30])


def main() -> None:
    """Run both, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--system", default="mnr")
    parser.add_argument("--dimension", default="48")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--store", choices=("embedded", "postgres"), default="embedded")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nestvec-kills-")))
        store = "embedded"
        if given.store == "postgres":
            from database import start_server  # type: ignore[import-not-found]  # a helper of the tests

            (folder / "server").mkdir()
            store = stack.enter_context(start_server(folder / "server"))
        runs = [folder / "undisturbed", folder / "disturbed"]
        for run in runs:
            shutil.copytree(given.run, run, ignore=shutil.ignore_patterns("index"))
        texts = select(load_run(runs[0]), given.system).run.catalogue.texts
        write_documents(folder / "new.csv", texts, 0, given.documents)
        write_documents(folder / "more.csv", texts, given.documents // 2, given.documents)
        (folder / "gone.txt").write_text("\n".join(f"n{row}" for row in range(0, given.documents, 3)))
        point = ["--system", given.system, "--dimension", given.dimension, "--precision", given.precision]
        build = [*point, "--store", store, "--documents", str(folder / "new.csv"), "--document", "title"]
        change = ["--upsert", str(folder / "more.csv"), "--document", "title", "--delete", str(folder / "gone.txt")]
        for run in runs:
            Work([str(run), *point, "--store", store]).finish()
        known = [answers(run) for run in runs]
        building, changing = (Work([str(runs[0]), *words]) for words in (build, change))
        building.finish()
        known.append(answers(runs[0]))
        changing.finish()
        known.append(answers(runs[0]))
        rng, half = random.Random(given.seed), given.kills // 2
        building.states = [known[0], known[2]]
        building.words[0] = changing.words[0] = str(runs[1])
        building.disturb(given.kills - half, rng, runs[1])
        same = answers(runs[1]) == known[2]
        changing.disturb(half, rng, runs[1])  # each batch is there or not, so there are many states
        same = same and answers(runs[1]) == known[3]
        left = [str(path.relative_to(runs[1])) for path in runs[1].rglob(".*.tmp")]
        left += [str(path) for path in (runs[1] / "index").glob("work/*")]
    wrong = building.wrong
    fell = building.fell + changing.fell
    print(f"{given.store}: {given.kills} kills, {fell} while it ran; a build takes {building.seconds:.1f} s")
    print(f"answers that were neither the old nor the new index's: {wrong}; files left over: {len(left)}")
    print(f"the end equals the undisturbed: {'yes' if same else 'no'}")
    print(json.dumps({"kills": given.kills, "fell": fell, "wrong": wrong, "left": len(left), "same": same}))
    sys.exit(0 if same and not wrong and not left else 1)


if __name__ == "__main__":
    main()
