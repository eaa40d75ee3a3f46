"""A run of a tiny model, and what may be swapped in it: files of a model, vectors, codecs, exports."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _commands import call
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable


PRISTINE = "pristine"  # folder of the copy that every attempt begins with


@dataclass(frozen=True)
class World:
    """A run of a tiny model that was measured and trained, with an index, an export and texts to encode."""

    root: Path

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.root / "run"

    @property
    def models(self) -> dict[str, Path]:
        """System to its model's folder."""
        return {"pretrained": self.root / "tiny", "mnr": self.run / "models/mnr"}

    def command(self, name: str, system: str) -> list[str]:
        """The words of a command that reads a system's model."""
        named = ["--system", system]
        words: dict[str, list[Any]] = {
            "search": ["search", self.run, "claw hammer"],
            "verify": ["index", self.run, "--verify"],
            "index": ["index", self.run, *named],
            "export": ["export", self.run, *named, "--out", self.root / "new"],
            "encode": ["encode", self.run, self.root / "texts.txt", *named, "--out", self.root / "out.parquet"],
            "serve": ["serve", self.run, "--port", "0"],
            "run": _run_words(self.root),
            "encode export": [
                "encode",
                self.root / "export",
                self.root / "texts.txt",
                "--out",
                self.root / "out.parquet",
            ],
        }
        return [str(word) for word in words[name]]


def _run_words(root: Path) -> list[str]:
    return [
        "run", "sample", "--max-records", "1500", "--model", str(root / "tiny"), "--epochs", "1", "--systems", "mnr",
        "--learning-rate", "0.003", "--dimensions", "24", "--precisions", "int8", "--resamples", "100",
        "--out", str(root / "run"),
    ]  # fmt: skip


def make_world(folder: Path) -> World:
    """Make the world, and a copy to begin every attempt with: at its own path, as a run knows where its model was."""
    from tiny_mpnet import save_tiny_mpnet

    world = World(folder / "world")
    save_tiny_mpnet(world.root / "tiny", width=48)
    (world.root / "texts.txt").write_text("claw hammer\ndeck screws\n")
    export = ["export", str(world.run), "--system", "mnr", "--to", "onnx", "--out", str(world.root / "export")]
    for words in (_run_words(world.root), ["index", str(world.run), "--system", "mnr"], export):
        ended = call(words)
        if ended.code:
            raise RuntimeError(f"nestvec {' '.join(words)} ended with {ended.code}: {ended.said}")
    shutil.copytree(world.root, folder / PRISTINE)
    return world


def edit(path: Path, **values: object) -> None:
    held = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(held | values))


def _swap_vocabulary(model: Path) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    letters = [word for word in words if word.strip("#").isalnum() and len(word.strip("#")) == 1]
    tokenizer["model"]["vocab"] = words | dict(zip(letters, reversed([words[word] for word in letters]), strict=True))
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))


def _swap_weights(model: Path) -> None:
    """Other weights, and a card that says so."""
    from nestvec.files import sha256

    tensors = load_file(model / "model.safetensors")
    changed = {name: values * np.float32(1.5) if "word" in name else values for name, values in tensors.items()}
    save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
    edit(model / "nestvec.json", sha256=sha256(model / "model.safetensors"))


def _drop_normalize(model: Path) -> None:
    (model / "modules.json").write_text(json.dumps(json.loads((model / "modules.json").read_text())[:-1]))


MODEL_SWAPS: dict[str, Callable[[Path], None]] = {
    "pooling": lambda model: edit(model / "1_Pooling/config.json", pooling_mode="max"),
    "vocabulary": _swap_vocabulary,
    "normaliser": lambda model: edit(model / "tokenizer.json", normalizer=None),
    "weights": _swap_weights,
    "limit": lambda model: edit(model / "sentence_bert_config.json", max_seq_length=4),
    "activation": lambda model: edit(model / "config.json", hidden_act="relu"),
    "norm's epsilon": lambda model: edit(model / "config.json", layer_norm_eps=0.5),
    "modules": _drop_normalize,
    "prompts": lambda model: edit(model / "config_sentence_transformers.json", prompts={"query": "q: "}),
    "a file more": lambda model: edit(model / "added_tokens.json", hammer=7),
}


def _swap_vectors(world: World) -> None:
    shutil.copy(world.run / "embeddings/pretrained.npy", world.run / "embeddings/mnr.npy")


def _shuffle_vectors(world: World) -> None:
    path = world.run / "embeddings/mnr.npy"
    np.save(path, np.random.default_rng(1).permutation(np.load(path)))


def _spoil_vectors(world: World) -> None:
    vectors = np.load(world.run / "embeddings/mnr.npy")
    vectors[::7] = np.nan
    np.save(world.run / "embeddings/mnr.npy", vectors)


def _swap_codecs(world: World) -> None:
    shutil.copy(world.run / "codes/pretrained/codecs.safetensors", world.run / "models/mnr/codecs.safetensors")


def _swap_models(world: World) -> None:
    """Another system's model, whole, with its card."""
    shutil.rmtree(world.run / "models/mnr")
    shutil.copytree(world.root / "tiny", world.run / "models/mnr")
    shutil.copy(world.run / "codes/pretrained/codecs.safetensors", world.run / "models/mnr/codecs.safetensors")


def _state_prompts(world: World) -> None:
    edit(world.run / "results.json", prompts={name: {"query": "q: ", "document": ""} for name in world.models})


def _forget(world: World) -> None:
    """Leave the run and its index as an earlier nestvec wrote them, which stated no files."""
    for path, name in (
        (world.run / "results.json", "measured_with"),
        (world.run / "index/embedded/current.json", "model"),
    ):
        held = json.loads(path.read_text())
        held.pop(name, None)
        path.write_text(json.dumps(held))


class Swap(NamedTuple):
    """Something to swap in a world, and the commands that have to notice, with their exit codes."""

    name: str
    system: str
    change: Callable[[World], None]
    commands: dict[str, int]


_READ_MODEL = {"index": 2, "export": 2, "encode": 2, "serve": 2}
_READ_INDEX = {"search": 2, "verify": 1}
_READ_VECTORS = {"verify": 1, "index": 2, "export": 2, "serve": 2}


def list_swaps() -> list[Swap]:
    def both(change: Callable[[Path], None], system: str, world: World) -> None:
        change(world.models[system])

    def forgetting(change: Callable[[World], None], world: World) -> None:
        _forget(world)
        change(world)

    swaps = []
    for name, change in MODEL_SWAPS.items():
        swaps.append(Swap(f"{name} of mnr", "mnr", partial(both, change, "mnr"), _READ_MODEL | _READ_INDEX))
        swaps.append(
            Swap(f"{name} of the model", "pretrained", partial(both, change, "pretrained"), _READ_MODEL | {"run": 2})
        )
    for name in ("pooling", "vocabulary", "weights", "limit"):
        old = partial(forgetting, partial(both, MODEL_SWAPS[name], "mnr"))
        swaps.append(Swap(f"{name} of mnr in an old run", "mnr", old, {"verify": 1}))
    for name, spoil, code in (
        ("vectors", _swap_vectors, 1),
        ("order", _shuffle_vectors, 1),
        ("NaN", _spoil_vectors, 2),
    ):
        swaps.append(Swap(name, "mnr", spoil, _READ_VECTORS))
        swaps.append(Swap(f"{name} in an old run", "mnr", partial(forgetting, spoil), {"verify": code}))
    swaps.append(Swap("codecs", "mnr", _swap_codecs, _READ_MODEL | _READ_INDEX))
    swaps.append(Swap("another system's model", "mnr", _swap_models, _READ_MODEL | _READ_INDEX))
    swaps.append(Swap("prompts that were measured", "mnr", _state_prompts, _READ_MODEL | _READ_INDEX))
    for name in ("model.onnx", "tokenizer.json", "codec.safetensors", "nestvec.json"):
        swaps.append(Swap(f"{name} of the export", "mnr", partial(_spoil_export, name), {"encode export": 2}))
    return swaps


def _spoil_export(name: str, world: World) -> None:
    if name == "nestvec.json":
        edit(world.root / "export" / name, query_prompt="q: ", document_prompt="d: ")
        return
    content = bytearray((world.root / "export" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (world.root / "export" / name).write_bytes(content)
