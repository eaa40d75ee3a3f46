"""The library's own trainer beside ours: the same texts, seed, batches and arguments, in blocks of steps by turns.

    python benchmarks/training.py [--steps 50] [--curve 50] [--batch-size 64] [--texts titles] [--dtype float32]
        [--dropout model]

First the loss curves in float32, which must agree to 1e-4; otherwise the exit code is 1. Dropout is off for them in
both: it draws a mask per forward pass, and texts that are grouped otherwise get other masks. Then the time, with
dropout as the model has it, and without. Each turn is the same batches for all; its first step, and all of the first
turn, don't count. Ours tokenises beforehand, which counts as if the texts were read once only. Where the time goes is
told by part of a step and by kind of operation, each from a turn of its own. The last line is JSON: `speed` is how many
times as fast the first is as the second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _blocks import Bench, Record, Variant, wait_for_device

from nestvec.models.compute import choose_compute, use_processors
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOLERANCE, CURVE = 1e-4, 50
BLOCKS = 5  # turns that count
PARTS = ("data", "forward", "backward", "clip", "optimizer")
DROPOUT = {"model": ("as the model has it",), "none": ("none",), "both": ("as the model has it", "none")}
KINDS = {  # of operations, by words in their names; the first that fits counts
    "products": ("mm", "linear", "matmul", "gemm", "convolution"),
    "attention": ("softmax", "scaled_dot_product", "flash_attention"),
    "dropout": ("bernoulli", "dropout"),
    "gelu": ("gelu",),
    "norm": ("layer_norm",),
    "optimizer": ("adam", "clip", "norm", "foreach"),
    "copies": ("copy", "cat", "contiguous", "clone"),
    "lookups": ("embedding", "index", "gather", "scatter"),
    "sums": ("add", "mul", "div", "sub", "sum", "mean", "fill", "zero", "where"),
}


def curves(bench: Bench, steps: int) -> float:
    """The largest relative difference between the losses of both trainers, step by step, without dropout."""
    stock, ours = (bench.block(Variant(which, "float32"), 7, steps, dropout=False) for which in (False, True))
    told = [torch.stack(record.losses).double().cpu() for record in (stock, ours)]
    same = [[sum(int(mask.sum()) for mask in masks) for masks in record.masks] for record in (stock, ours)]
    if same[0] != same[1]:
        raise SystemExit("the two trained on different batches")
    difference = ((told[1] - told[0]) / told[0]).abs()
    print(
        f"loss over {steps} steps in float32: {told[0][0]:.4f} … {told[0][-1]:.4f}; largest relative difference "
        f"{difference.max():.1e} at step {int(difference.argmax()) + 1}, may be {TOLERANCE:g}"
    )
    return float(difference.max())


def timings(bench: Bench, variants: Sequence[Variant], steps: int) -> dict[Variant, list[Record]]:
    """Records of blocks that took turns, the first turn left out."""
    blocks = min(BLOCKS, -(-steps // 2))
    sizes = [1, *(len(part) for part in np.array_split(np.arange(steps), blocks))]
    found: dict[Variant, list[Record]] = {variant: [] for variant in variants}
    for turn, size in enumerate(sizes):
        for variant in variants if turn % 2 else variants[::-1]:
            record = bench.block(variant, 100 + turn, size + 1, dropout=bench.dropout)
            if turn:
                found[variant].append(record)
    return found


def parts(bench: Bench, variants: Sequence[Variant], steps: int) -> dict[Variant, dict[str, float]]:
    """Shares of a step's time, from a turn of their own."""
    found = {}
    for variant in variants:
        record = bench.block(variant, 99, min(10, steps) + 1, dropout=bench.dropout, parts=True)
        shares = {name: record.seconds[name] / record.elapsed for name in PARTS}
        found[variant] = shares | {"rest": 1 - sum(shares.values())}
    return found


def kinds(bench: Bench, variants: Sequence[Variant]) -> dict[str, dict[str, float]]:
    """Print the shares of the operations' own time by kind, from a profiled turn; returns them by variant."""
    heads = (*KINDS, "others")
    print(f"{'operations':<15} " + " ".join(f"{head:>9}" for head in heads))
    found = {}
    for variant in variants:
        profiler = torch.profiler.profile()
        bench.block(variant, 98, 4, dropout=bench.dropout, profiler=profiler)
        seconds = dict.fromkeys(heads, 0.0)
        for event in profiler.key_averages():
            names = (kind for kind, words in KINDS.items() if any(word in event.key.lower() for word in words))
            seconds[next(names, "others")] += event.self_device_time_total or event.self_cpu_time_total
        found[str(variant)] = {kind: round(spent / sum(seconds.values()), 4) for kind, spent in seconds.items()}
        print(f"{variant!s:<15} " + " ".join(f"{share:>9.1%}" for share in found[str(variant)].values()))
    return found


def real_and_padded(bench: Bench, records: Sequence[Record]) -> tuple[tuple[int, float], tuple[int, float]]:
    """Tokens and FLOP of the steps that count: of the texts, and of what was computed with padding.

    A token costs 2 FLOP a weight of the layers' matrices and, for attention over L tokens, 4 x L x width a layer; the
    backward pass costs twice the forward pass.
    """
    layers = bench.model[0].auto_model.encoder
    weights = sum(module.weight.numel() for module in layers.modules() if isinstance(module, torch.nn.Linear))
    depth, width = bench.model[0].auto_model.config.num_hidden_layers, bench.model[0].auto_model.config.hidden_size

    def cost(length: torch.Tensor) -> float:
        length = length.double()
        return float((3 * length * (2 * weights + 4 * length * width * depth)).sum())

    masks = [mask.cpu() for record in records for step in record.masks[1:] for mask in step]
    real, padded = [mask.sum(dim=1) for mask in masks], [torch.full((len(mask),), mask.shape[1]) for mask in masks]
    return tuple((int(sum(part.sum() for part in side)), sum(map(cost, side))) for side in (real, padded))  # type: ignore[return-value]


def peak(compute: str) -> float:
    """FLOP/s of a big matrix product in this format: the best of some."""
    cuda = torch.cuda.is_available()
    size, device = (8192, "cuda") if cuda else (2048, "cpu")
    matrix = torch.randn(size, size, device=device).to(getattr(torch, compute))
    seconds = []
    for _ in range(6):
        wait_for_device()
        start = time.perf_counter()
        matrix @ matrix
        wait_for_device()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def speeds(seconds: dict[Variant, list[float]]) -> Iterator[tuple[str, float, list[float]]]:
    """Names, ratios and ratios per turn of what is compared, as far as it was measured."""
    named = {str(variant): spent for variant, spent in seconds.items()}
    asked = (("float32", "float32"), ("bfloat16", "float32"), ("bfloat16", "bfloat16"))
    for ours, stock in ((f"ours {mine}", f"stock {theirs}") for mine, theirs in asked):
        with contextlib.suppress(KeyError):
            turns = [theirs / mine for mine, theirs in zip(named[ours], named[stock], strict=True)]
            yield f"{ours} / {stock}", sum(named[stock]) / sum(named[ours]), turns


def main() -> None:
    """Compare the loss curves, time both trainers by turns, and end with a line of JSON."""
    options = parsed()
    threads = use_processors()
    wanted = tuple(dict.fromkeys(("float32", choose_compute("auto")) if options.dtype == "auto" else (options.dtype,)))
    if "bfloat16" in wanted and choose_compute("auto") != "bfloat16":
        raise SystemExit("this machine has no instructions for bfloat16")
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {threads} threads"
    print(f"{where}; batches of {options.batch_size}, {options.texts}; torch {torch.__version__}")
    with tempfile.TemporaryDirectory(prefix="nestvec-training-") as folder:
        model = load_model(find_model(DEFAULT_MODEL))
        bench = Bench(model, options.batch_size, options.texts, max(options.steps, options.curve), Path(folder))
        facts: dict[str, Any] = {
            "device": where,
            "batch_size": options.batch_size,
            "texts": options.texts,
            "steps": options.steps,
        }
        facts |= lengths(bench)
        difference = curves(bench, options.curve) if options.curve else 0.0
        peaks = {compute: peak(compute) for compute in wanted}
        variants = [Variant(ours, compute) for compute in wanted for ours in (False, True)]
        measured = {told: measure(bench, told, variants, options.steps, peaks) for told in DROPOUT[options.dropout]}
    print(json.dumps(facts | {"largest_loss_difference": difference, "dropout": measured}))
    sys.exit(difference > TOLERANCE)


def measure(
    bench: Bench, dropout: str, variants: Sequence[Variant], steps: int, peaks: dict[str, float]
) -> dict[str, Any]:
    """Time all variants with or without dropout, and print what was found."""
    bench.dropout = dropout != "none"
    print(f"\ndropout: {dropout}")
    found = timings(bench, variants, steps)
    rows = table(bench, found, parts(bench, variants, steps), peaks)
    operations = kinds(bench, variants)
    ratios = {}
    for name, ratio, turns in speeds({variant: spent(bench, variant, records) for variant, records in found.items()}):
        print(f"{name:<32} {ratio:5.2f} times as fast ({min(turns):.2f} … {max(turns):.2f} by turn)")
        ratios[name] = round(ratio, 3)
    return {"speed": ratios, "rows": rows, "operations": operations}


def lengths(bench: Bench) -> dict[str, float]:
    """Say how long the texts came out."""
    queries, documents = np.split(bench.job.tokens.lengths, [len(bench.texts.queries)])
    limit = bench.model.get_max_seq_length() or 0
    found = {
        "query_tokens": float(np.median(queries)),
        "document_tokens": float(np.median(documents)),
        "cut_share": round(float((documents == limit).mean()), 3),
    }
    print(
        f"queries: median {found['query_tokens']:.0f} tokens; documents: median {found['document_tokens']:.0f}, "
        f"mean {documents.mean():.0f}, {found['cut_share']:.0%} cut at {limit}"
    )
    return found


def spent(bench: Bench, variant: Variant, records: Sequence[Record]) -> list[float]:
    """Seconds of each turn; tokenising beforehand is shared out to the steps."""
    return [record.elapsed + variant.ours * bench.tokenised * (len(record.ends) - 1) for record in records]


def table(
    bench: Bench,
    found: dict[Variant, list[Record]],
    shares: dict[Variant, dict[str, float]],
    peaks: dict[str, float],
) -> dict[str, dict[str, Any]]:
    """Print a row a variant; returns them by name."""
    heads = ("ms/step", "tokens/s", "padding", "passes", "faults", "GFLOP/s", "of peak", "useful", *PARTS, "rest")
    print(f"{'':<15} " + " ".join(f"{head:>9}" for head in heads))
    rows: dict[str, dict[str, Any]] = {}
    for variant, records in found.items():
        steps = sum(len(record.ends) - 1 for record in records)
        seconds = sum(spent(bench, variant, records))
        (tokens, useful), (padded, computed) = real_and_padded(bench, records)
        limit = peaks[variant.compute] * seconds
        row = {
            "ms_per_step": seconds / steps * 1e3,
            "tokens_per_s": tokens / seconds,
            "padding_share": 1 - tokens / padded,
            "passes": sum(len(step) for record in records for step in record.masks[1:]) / steps,
            "page_faults": sum(record.faults for record in records) / steps,
            "gflops": computed / seconds / 1e9,
            "peak_share": computed / limit,
            "useful_share": useful / limit,
        }
        shown = [f"{row['ms_per_step']:.1f}", f"{row['tokens_per_s']:,.0f}", f"{row['padding_share']:.1%}"]
        shown += [
            f"{row['passes']:.1f}",
            f"{row['page_faults']:,.0f}",
            f"{row['gflops']:,.1f}",
            f"{row['peak_share']:.1%}",
        ]
        shown += [f"{row['useful_share']:.1%}", *(f"{share:.1%}" for share in shares[variant].values())]
        print(f"{variant!s:<15} " + " ".join(f"{value:>9}" for value in shown))
        told = {"mflop_per_token": useful / tokens / 1e6, "peak_gflops": peaks[variant.compute] / 1e9}
        rows[str(variant)] = {name: round(value, 4) for name, value in {**row, **told, **shares[variant]}.items()}
    measured = ", ".join(f"{compute} {value / 1e9:,.1f} GFLOP/s" for compute, value in peaks.items())
    print(f"a big matrix product: {measured}; tokenising beforehand: {bench.tokenised * 1e3:.1f} ms a step of ours")
    return rows


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed, of each")
    parser.add_argument("--curve", type=int, default=CURVE, help="steps whose losses are compared; 0 compares none")
    parser.add_argument(
        "--dropout", choices=tuple(DROPOUT), default="both", help="as the model has it, or none, or both"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="pairs")
    parser.add_argument("--texts", choices=("long", "titles"), default="long", help="title and description, or titles")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="auto is both")
    return parser.parse_args()


if __name__ == "__main__":
    main()
