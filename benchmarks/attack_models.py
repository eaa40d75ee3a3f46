"""Models that were swapped under a run, poisoned, or state nonsense; see `attack.py`.

No command may answer with another model than the one that was measured, run code that a model brings, or take memory
for a number that no model has.
"""

from __future__ import annotations

import itertools
import random
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from _commands import call, find_problem
from _outcome import Outcome
from _poisoned_models import CANARY, POISONS
from _swapped_models import PRISTINE, Swap, World, edit, list_swaps, make_world

if TYPE_CHECKING:
    from collections.abc import Callable

GROWTH = 300_000  # KB of memory that a refusal may take beyond an encoding that went well
_ABSURD = (-5, 0, True, "wide", 1.5, [], {}, 10**6, 10**9, 10**12, 10**18)
_COUNTED = {
    "config.json": ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
                    "max_position_embeddings"),
    "sentence_bert_config.json": ("max_seq_length",),
    "1_Pooling/config.json": ("embedding_dimension",),
}  # fmt: skip
_LOOSE = {  # which the library may pass over, or take a value of that is odd and harmless
    "config.json": ("num_labels", "layer_norm_eps", "hidden_act", "relative_attention_num_buckets", "pad_token_id",
                    "initializer_range", "model_type", "architectures", "dtype", "chunk_size_feed_forward", "id2label"),
    "tokenizer_config.json": ("model_max_length", "tokenizer_class", "do_lower_case", "pad_token", "padding_side"),
    "1_Pooling/config.json": ("pooling_mode", "include_prompt"),
    "config_sentence_transformers.json": ("truncate_dim", "prompts", "default_prompt_name", "similarity_fn_name"),
}  # fmt: skip


def attack(run: Path, folder: Path, effort: float, seed: int) -> Outcome:
    """Try everything; `run` is not read, as its model is not the attack's to change."""
    del run
    outcome, rng = Outcome("models"), random.Random(seed)
    world = make_world(folder)
    usual = call(
        ["encode", str(world.models["pretrained"]), str(world.root / "texts.txt"), "--out", str(folder / "usual")]
    )
    outcome.judge("a sound model", None if usual.code == 0 else f"{usual.code}: {usual.said}")
    outcome.figures["usual_peak_mb"] = usual.peak // 1024
    swaps = list(list_swaps())
    for swap in rng.sample(swaps, max(6, round(min(1.0, effort) * len(swaps)))):
        _judge_swap(outcome, world, swap)
    for name, poison in POISONS.items():
        _judge_poison(outcome, world, folder / "poisoned", name, poison)
    _judge_numbers(outcome, world, rng, round(400 * effort), usual.peak)
    return outcome


def _judge_swap(outcome: Outcome, world: World, swap: Swap) -> None:
    for name, code in swap.commands.items():
        shutil.rmtree(world.root)
        shutil.copytree(world.root.parent / PRISTINE, world.root)
        swap.change(world)
        problem = find_problem(call(world.command(name, swap.system)), {code})
        written = [path.name for path in (world.root / "new", world.root / "out.parquet") if path.exists()]
        outcome.judge(f"{swap.name}, {name}", problem or (f"wrote {written}" if written else None))


def _judge_poison(outcome: Outcome, world: World, folder: Path, name: str, poison: Callable[[Path], None]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.root.parent / PRISTINE / "tiny", folder)
    poison(folder)
    out = folder.with_name("poisoned.parquet")
    ended = call(["encode", str(folder), str(world.root / "texts.txt"), "--out", str(out)], folder)
    allowed = {0, 2} if name == "an activation of its own" else {2}  # the library takes its default instead
    problem = find_problem(ended, allowed)
    outcome.judge(name, "its code ran" if (folder / CANARY).exists() else problem)
    out.unlink(missing_ok=True)


def _judge_numbers(outcome: Outcome, world: World, rng: random.Random, count: int, usual: int) -> None:
    """Absurd values in a model's configurations: refused before memory is taken, or harmless."""
    told = [(file, key, {2}) for file, keys in _COUNTED.items() for key in keys]
    told += [(file, key, {0, 2}) for file, keys in _LOOSE.items() for key in keys]
    tries = list(itertools.product(told, _ABSURD))
    rng.shuffle(tries)
    folder, out, highest = world.root.parent / "absurd", world.root.parent / "absurd.parquet", 0
    for (file, key, codes), value in tries[: max(20, count)]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(world.root.parent / PRISTINE / "tiny", folder)
        edit(folder / file, **{key: value})
        ended = call(["encode", str(folder), str(world.root / "texts.txt"), "--out", str(out)])
        problem = find_problem(ended, codes)
        if ended.peak > usual + GROWTH:
            problem = f"took {ended.peak // 1024} MB"
        if ended.code and out.exists():
            problem = "wrote a file"
        highest = max(highest, ended.peak)
        outcome.judge(f"{file}: {key} is {value!r}", problem)
        out.unlink(missing_ok=True)
    outcome.figures["absurd_peak_mb"] = highest // 1024
