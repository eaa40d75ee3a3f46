"""Run the benchmarks of speed and memory, one after the other, and write docs/performance.md.

    python benchmarks/performance.py --run DIR [--only training,search] [--show]

DIR is a finished run, which `serve.py` and `restart.py` ask. Run it alone on the machine. What each benchmark printed
in its last line is kept in benchmarks/measured.json, with the date, the machine and the commit, so that one benchmark
can be measured again without the others. The page is made from that file alone; `--show` makes it without measuring.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nestvec.processors import count_processors

HERE = Path(__file__).parent
MEASURED, PAGE = HERE / "measured.json", HERE.parent / "docs" / "performance.md"
RUN = "DIR"  # stands for the folder of a finished run


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark's last line.

    Attributes:
        label: what it is.
        path: the keys that lead to it.
        unit: follows the number.
        aim: what was wanted, as text.
    """

    label: str
    path: tuple[str | int, ...]
    unit: str = "times"
    aim: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as it is run for the page.

    Attributes:
        command: after `python benchmarks/`.
        title: of its rows.
        figures: those that the page shows.
    """

    command: str
    title: str
    figures: tuple[Figure, ...]


def _training(compute: str, dropout: str) -> Figure:
    aim, told = {"float32": "2.5", "bfloat16": "4"}[compute], {"none": "no dropout"}.get(dropout, "dropout .1")
    path = ("dropout", dropout, "speed", f"ours {compute} / stock float32")
    return Figure(f"{compute} against stock float32, {told}", path, aim=aim)


def _search(documents: str) -> tuple[Figure, ...]:
    ratio = ("ratio", documents)
    return tuple(
        Figure(f"{name}: median milliseconds over faiss IndexFlatIP's", (*ratio, name, "p50_over_faiss"))
        for name in ("48.int8 embedded", "384.binary embedded", "48.int8 postgres", "384.binary postgres")
    )


BENCHMARKS = {
    "training": Benchmark(
        "training.py --batch-size 64 --texts titles --steps 30",
        "A training step of 64 pairs of titles",
        tuple(
            _training(compute, dropout)
            for dropout in ("as the model has it", "none")
            for compute in ("float32", "bfloat16")
        ),
    ),
    "encode": Benchmark(
        "encode.py",
        "Encoding texts of 150 tokens, against `SentenceTransformer.encode`",
        (Figure("best in float32", ("best", "float32")), Figure("best in bfloat16", ("best", "bfloat16"))),
    ),
    "evaluation": Benchmark(
        "evaluation.py --queries 1000 --documents 3000",
        "Measuring four dimensions, against `InformationRetrievalEvaluator`",
        (
            Figure("scoring stored vectors", ("scoring", "speed"), aim="10"),
            Figure("encoding and scoring", ("whole", "speed"), aim="4"),
            Figure("memory of theirs over ours, scoring", ("scoring", "peak"), aim="1"),
        ),
    ),
    "reading": Benchmark(
        "reading.py",
        "Reading 10,000,000 judgements from CSV (`nestvec check`)",
        (
            Figure("seconds", ("seconds",), "s", "60"),
            Figure("peak memory", ("peak_gib",), "GiB", "2.5"),
            Figure("seconds over pandas.read_csv's, which only parses", ("seconds_ratio",)),
        ),
    ),
    "search": Benchmark("search.py --documents 200000", "One query among 200,000 documents", _search("200000")),
    "search of a million": Benchmark("search.py --documents 1000000", "One among 1,000,000", _search("1000000")),
    "fused search": Benchmark(
        "fused_search.py --stores embedded",
        "Words and vectors (384 in binary) among 1,000,000 documents, embedded",
        (
            Figure("vectors, median", ("searches", "embedded", "vectors", "p50_ms"), "ms", "20"),
            Figure("fused, median", ("searches", "embedded", "fused", "p50_ms"), "ms", "20"),
            Figure("fused over vectors", ("p50_over_vectors", "embedded", "fused"), aim="2"),
        ),
    ),
    "search from the shell": Benchmark(
        f"shell_search.py --run {RUN}",
        "`nestvec search` as a command, by the graph beside the index",
        (
            Figure("seconds", ("warm_seconds", "graph"), "s", "1"),
            Figure("seconds of the first in a copied folder", ("cold_seconds", "graph"), "s", "1.5"),
            Figure("against PyTorch", ("ratio",)),
        ),
    ),
    "serve": Benchmark(
        f"serve.py --run {RUN}",
        "64 clients, answers a second against a plain FastAPI server",
        (Figure("answers a second", ("ratio",)),),
    ),
    "restart": Benchmark(
        f"restart.py --run {RUN}",
        "`nestvec serve` after a kill under load, against loading the same models",
        (Figure("time until ready", ("ratio",)),),
    ),
}


def measure(name: str, run: Path | None) -> dict[str, Any]:
    """Run a benchmark; returns its last line with where, when and of which commit it is."""
    words = BENCHMARKS[name].command.split()
    if RUN in words and run is None:
        raise SystemExit(f"{name} needs a finished run: --run DIR")
    command = [sys.executable, str(HERE / words[0]), *(str(run) if word == RUN else word for word in words[1:])]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    found = json.loads(lines[-1]) if lines and lines[-1].startswith(("{", "[")) else None
    if found is None:
        raise SystemExit(f"{name} ended with {process.returncode} and without figures")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    )
    return {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "machine": describe_machine(),
        "commit": commit.stdout.strip(),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "exit_code": process.returncode,
        "found": found,
    }


def describe_machine() -> str:
    """The processor's name, how many of them this process may use, and what they compute in."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8") if platform.system() == "Linux" else ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in told.split()]
    return ", ".join([f"{count_processors()} of {names[0] if names else platform.machine()}", *flags])


def read_figure(found: Any, path: tuple[str | int, ...]) -> float | None:  # noqa: ANN401 - a benchmark's JSON
    """The number at a path; None where that benchmark did not measure it."""
    for key in path:
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return None if found is None else float(found)


def render(measured: dict[str, Any]) -> str:
    """The page: a table with a row a figure."""
    lines = [
        "# Performance",
        "",
        "Every figure was printed by a script of `benchmarks/`, run alone on the machine that the row names. Times are",
        'ratios against a named peer on the same work in the same run, where there is one; "times" above 1 says that',
        'nestvec is faster, unless the row says "over". `python benchmarks/performance.py` runs all of them and writes',
        "this page; figures are never typed in.",
        "",
        "| what | figure | aim | command, date, commit |",
        "|---|---|---|---|",
    ]
    for name, benchmark in BENCHMARKS.items():
        told = measured.get(name)
        if told is None:
            continue
        where = f"`{benchmark.command}` · {told['date']} · {told['commit']} · {told['machine']}"
        rows = [(figure, read_figure(told["found"], figure.path)) for figure in benchmark.figures]
        for figure, value in rows:
            if value is None:
                continue
            lines.append(f"| {benchmark.title}: {figure.label} | {value:.3g} {figure.unit} | {figure.aim} | {where} |")
    missing = [name for name in BENCHMARKS if name not in measured]
    if missing:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what was asked for and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="the folder of a finished run")
    parser.add_argument("--only", help="names of benchmarks, separated by commas")
    parser.add_argument("--show", action="store_true", help="write the page from what was measured before")
    options = parser.parse_args()
    names = [] if options.show else (options.only.split(",") if options.only else list(BENCHMARKS))
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"--only: unknown benchmark {', '.join(sorted(unknown))}; expected one of {', '.join(BENCHMARKS)}")
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.is_file() else {}
    for name in names:
        print(f"== {name}", flush=True)
        measured[name] = measure(name, options.run)
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(render(measured), encoding="utf-8")
    PAGE.write_text(render(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
