"""`SentenceTransformer.encode` beside every backend on the same texts; or `nestvec encode` killed again and again.

    python benchmarks/encode.py [--texts 256] [--turns 5] [--data ../shared/data/home-depot.csv]
    python benchmarks/encode.py --kills 20 [--seed 0]

Texts are as long as Home Depot's titles with descriptions: log-normal with a median of 150 tokens, a third beyond
MiniLM's 256. With `--data` they are titles of that table, filled up to such a length with others of its titles.

Each turn encodes all texts with each backend, in a new order. A ratio is the library's seconds over the backend's in
the same turn, and the median over turns is what counts, because a machine's speed drifts. The library is called as its
documents say, in float32, 32 texts a batch. "of work" is the same ratio of the processors' seconds, which others on
the machine disturb less. int8 is quantised here on 160 texts of their own. Beside each speed stand the least and mean
cosine to the library's vectors, and recall@10 of the built-in sample's judged queries.

With `--kills` a process that encodes is killed with SIGKILL after a random part of what a whole one takes, and started
again, until it was killed so often; then it may end. Its file must have the bytes of one that was left alone; the exit
code is 1 otherwise. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from _blocks import LENGTHS, write_texts

from nestvec.data.load_records import load_records
from nestvec.models.compute import choose_compute
from nestvec.models.encoder import open_encoder
from nestvec.models.find import find_model
from nestvec.models.graph_encoder import GraphEncoder, open_runtime
from nestvec.models.load import load_model
from nestvec.models.onnx_graph import input_names, write_onnx
from nestvec.models.prompts import DOCUMENT, Prompts
from nestvec.models.quantise import TEXTS, quantise_onnx, quantise_openvino
from nestvec.models.token_batches import make_reader
from nestvec.processors import count_processors
from nestvec.settings import DEFAULT_MODEL, DataSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    Encode = Callable[[list[str]], NDArray[np.float32]]

STOCK = "SentenceTransformer.encode"
TARGETS = {"float32": 1.3, "bfloat16": 2.2, "int8": 3.5}
WIDTH = 384


def texts_of(model: SentenceTransformer, count: int, data: Path | None, seed: int) -> list[str]:
    """Texts of Home Depot's lengths."""
    rng = np.random.default_rng(seed)
    if data is None:
        return write_texts(model, "long", count, rng)
    titles = sorted({line.split(",", 3)[2].strip('"') for line in data.read_text("latin-1").splitlines()[1:]})
    rng.shuffle(titles)
    tokens = [len(ids) for ids in model.tokenizer(titles, add_special_tokens=False)["input_ids"]]
    lengths, texts, place = rng.permutation(LENGTHS["long"]((np.arange(count) + 0.5) / count)), [], 0
    for length in lengths.tolist():
        parts, found = [], 2
        while found < length:
            parts.append(titles[place % len(titles)])
            found += tokens[place % len(titles)]
            place += 1
        texts.append(" ".join(parts))
    return texts


def backends(model: SentenceTransformer, folder: Path, only: str) -> dict[str, Encode]:
    """Every way to encode, by name, ready."""
    path, computes = find_model(DEFAULT_MODEL).path, ("float32", choose_compute("auto"))
    ways = [(name, compute) for name in ("torch", "openvino") for compute in dict.fromkeys(computes)]
    found: dict[str, Encode] = {
        f"{name} {compute}": partial(open_encoder(path, None, name, compute).encode, role=DOCUMENT)
        for name, compute in [*ways, ("onnx", "float32")]
        if only in f"{name} {compute}"
    }
    reader = make_reader(model, input_names(model))
    if reader is None:
        raise SystemExit("the model has no fast tokenizer")
    feeds = [batch.inputs for text in texts_of(model, TEXTS, None, 99) for batch in reader.make_batches([text], 1)]
    write_onnx(model, WIDTH, folder / "model.onnx")
    if only in "onnx int8":
        quantise_onnx(folder / "model.onnx", folder / "int8.onnx", feeds)
        runtime = open_runtime("onnx", folder / "int8.onnx", "auto", "int8")
        found["onnx int8"] = partial(GraphEncoder(runtime, reader, WIDTH, Prompts()).encode, role=DOCUMENT)
    if only in "openvino int8":
        quantise_openvino(folder / "model.onnx", folder / "int8.xml", feeds)
        runtime = open_runtime("openvino", folder / "int8.xml", "auto", "int8")
        found["openvino int8"] = partial(GraphEncoder(runtime, reader, WIDTH, Prompts()).encode, role=DOCUMENT)
    return found


def timed(ways: dict[str, Encode], texts: list[str], turns: int, seed: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of every turn by the clock and of all processors; the first turn warms up and does not count."""
    rng, seconds = random.Random(seed), {name: list[tuple[float, float]]() for name in ways}
    for turn in range(turns + 1):
        part = texts if turn else texts[:32]
        for name in rng.sample(list(ways), len(ways)):
            began, busy = time.perf_counter(), time.process_time()
            ways[name](part)
            if turn:
                seconds[name].append((time.perf_counter() - began, time.process_time() - busy))
    return seconds


def recalls(ways: dict[str, Encode]) -> dict[str, float]:
    """recall@10 of the sample's queries in its catalogue."""
    records = load_records(DataSettings(source="sample"))
    wanted: dict[int, set[int]] = {}
    for query, document, grade in zip(records.query, records.document, records.grade, strict=True):
        if grade >= records.grade.max():
            wanted.setdefault(int(query), set()).add(int(document))
    asked = sorted(wanted)[:300]
    queries, documents = [records.queries[row] for row in asked], list(records.documents)
    found = {}
    for name, encode in ways.items():
        scores = encode(queries) @ encode(documents).T
        top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        hits = [len(wanted[row] & set(best.tolist())) / len(wanted[row]) for row, best in zip(asked, top, strict=True)]
        found[name] = float(np.mean(hits))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Print the table; returns what the last line says."""
    model = load_model(find_model(DEFAULT_MODEL))
    texts = texts_of(model, options.texts, options.data, options.seed)
    tokens = [len(ids) for ids in model.tokenizer(texts, truncation=True, max_length=256)["input_ids"]]
    print(
        f"{count_processors()} processors; {len(texts)} texts, {np.mean(tokens):.0f} tokens each, {options.turns} turns"
    )
    with tempfile.TemporaryDirectory(prefix="nestvec-encode-") as folder:
        stock: Encode = lambda part: np.asarray(model.encode(part, show_progress_bar=False))  # noqa: E731
        ways = {STOCK: stock, **backends(model, Path(folder), options.only)}
        seconds = timed(ways, texts, options.turns, options.seed)
        recall = recalls(ways) if options.recall else {}
    vectors, rows = {name: encode(texts) for name, encode in ways.items()}, {}
    heads = ("texts/s", "times", "least", "most", "of work", "cosine", "mean", "recall@10")
    print(f"\n{'':<28} " + " ".join(f"{head:>9}" for head in heads))
    for name, spent in seconds.items():
        ratios, work = (
            [base[which] / own[which] for base, own in zip(seconds[STOCK], spent, strict=True)] for which in (0, 1)
        )
        cosines, speed = (vectors[name] * vectors[STOCK]).sum(axis=1), len(texts) / median(turn[0] for turn in spent)
        rows[name] = {
            "texts_per_s": speed, "ratio": median(ratios), "ratios": ratios, "work_ratio": median(work),
            "cosine_least": float(cosines.min()), "cosine_mean": float(cosines.mean()), "recall@10": recall.get(name),
        }  # fmt: skip
        figures = (median(ratios), min(ratios), max(ratios), median(work))
        shown = [f"{speed:.1f}", *(f"{figure:.2f}" for figure in figures)]
        shown += [f"{cosines.min():.5f}", f"{cosines.mean():.5f}", f"{recall[name]:.4f}" if recall else ""]
        print(f"{name:<28} " + " ".join(f"{value:>9}" for value in shown))
    best = {
        kind: max((row["ratio"] for name, row in rows.items() if name.endswith(kind)), default=0) for kind in TARGETS
    }
    for kind, target in TARGETS.items():
        print(f"best in {kind}: {best[kind]:.2f} times the library, wanted {target}")
    return {
        "processors": count_processors(),
        "texts": len(texts),
        "tokens": float(np.mean(tokens)),
        "best": best,
        "rows": rows,
    }


def kills(options: argparse.Namespace) -> dict[str, Any]:
    """Kill and go on; returns what the last line says."""
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="nestvec-kills-") as folder:
        source = Path(folder) / "texts.txt"
        model = load_model(find_model(DEFAULT_MODEL))
        texts = texts_of(model, options.texts, options.data, options.seed)
        source.write_text("\n".join(rng.choices(texts, k=2 * len(texts))) + "\n", encoding="utf-8")
        began = time.perf_counter()
        _encoding(source, Path(folder) / "whole.parquet").wait()
        whole = time.perf_counter() - began
        out, killed, ended = Path(folder) / "out.parquet", 0, 0
        while killed < options.kills:
            process = _encoding(source, out)
            try:
                process.wait(rng.uniform(0.2, 1.0) * whole)
                ended += 1
                out.unlink()  # it was done before its time: begin anew
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
        code = _encoding(source, out).wait()
        same = code == 0 and out.read_bytes() == (Path(folder) / "whole.parquet").read_bytes()
    print(f"killed {killed} times, ended {ended} times in between; a whole one takes {whole:.1f} s")
    print("the same bytes" if same else "OTHER BYTES")
    return {"kills": killed, "ended": ended, "same": same, "seconds": whole}


def _encoding(source: Path, out: Path) -> subprocess.Popen[bytes]:
    """A process that encodes, in a group of its own."""
    code = (
        "import sys; from pathlib import Path; from nestvec.encoding.encode_file import encode; "
        "encode(sys.argv[1], sys.argv[2], Path(sys.argv[3]), precision='int8', dimension=48, shard=20)"
    )
    return subprocess.Popen([sys.executable, "-c", code, DEFAULT_MODEL, str(source), str(out)], start_new_session=True)


def main() -> None:
    """Time every backend, or kill `nestvec encode` again and again, and end with a line of JSON."""
    options = parsed()
    found = kills(options) if options.kills else measure(options)
    print(json.dumps(found))
    sys.exit(not found.get("same", True))


def parsed(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=256, help="how many")
    parser.add_argument("--turns", type=int, default=5, help="how often each encodes them")
    parser.add_argument("--data", type=Path, help="home-depot.csv; without it words of the built-in sample")
    parser.add_argument("--only", default="", help="backends whose name has this in it")
    parser.add_argument("--no-recall", dest="recall", action="store_false", help="leave out recall on the sample")
    parser.add_argument("--kills", type=int, default=0, help="kill an encoding so often instead")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
