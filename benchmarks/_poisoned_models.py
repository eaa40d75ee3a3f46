"""Models that try to run code: each would leave the file `canary` in its folder where the code runs."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _swapped_models import edit
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "canary"


class Trap:
    """A pickle that makes the canary."""

    def __init__(self, folder: Path) -> None:
        self.file = str(folder / CANARY)

    def __reduce__(self) -> tuple[Any, ...]:
        """What reading it calls."""
        return (open, (self.file, "w"))


def _pickle(name: str, model: Path) -> None:
    (model / name).write_bytes(pickle.dumps(Trap(model)))


def _pickle_root(model: Path) -> None:
    (model / "model.safetensors").unlink()
    _pickle("pytorch_model.bin", model)


def _add_dense(model: Path, activation: str = "torch.nn.modules.linear.Identity") -> None:
    listed = json.loads((model / "modules.json").read_text())
    listed.append({"idx": 9, "name": "9", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (model / "modules.json").write_text(json.dumps(listed))
    (model / "2_Dense").mkdir(exist_ok=True)
    edit(model / "2_Dense/config.json", in_features=48, out_features=8, bias=True, activation_function=activation)


def _pickle_dense(model: Path, shards: bool = False) -> None:
    _add_dense(model)
    _pickle("2_Dense/pytorch_model.bin", model)
    if shards:
        edit(model / "2_Dense/model.safetensors.index.json", weight_map={"a": "../model.safetensors"})


def _bring_code(model: Path) -> None:
    code = "class Own:\n    pass\nOwnConfig = OwnTokenizer = Own\n"
    (model / "own_code.py").write_text(f"open({str(model / CANARY)!r}, 'w')\n{code}")


def _own_module(model: Path) -> None:
    _bring_code(model)
    listed = json.loads((model / "modules.json").read_text())
    listed[0]["type"] = "own_code.Own"
    (model / "modules.json").write_text(json.dumps(listed))


def _own_route(model: Path) -> None:
    _bring_code(model)
    _add_dense(model)
    edit(model / "2_Dense/router_config.json", types={"0_Own": "own_code.Own"}, structure={"query": ["0_Own"]})


def _own_activation(model: Path) -> None:
    _bring_code(model)
    _add_dense(model, "own_code.Own")
    save_file(
        {"linear.weight": np.zeros((8, 48), np.float32), "linear.bias": np.zeros(8, np.float32)},
        model / "2_Dense/model.safetensors",
    )


def _own_configuration(model: Path) -> None:
    _bring_code(model)
    edit(model / "config.json", model_type="own", auto_map={"AutoConfig": "own_code.OwnConfig"})


def _own_tokenizer(model: Path) -> None:
    _bring_code(model)
    (model / "tokenizer.json").unlink()
    auto_map = {"AutoTokenizer": ["own_code.OwnTokenizer", None]}
    edit(model / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=auto_map)


def _pickle_in_disguise(model: Path) -> None:
    (model / "model.safetensors").write_bytes(pickle.dumps(Trap(model)))


def _pickle_adapter(model: Path) -> None:
    edit(model / "adapter_config.json", base_model_name_or_path=str(model), peft_type="LORA")
    _pickle("adapter_model.bin", model)


POISONS: dict[str, Callable[[Path], None]] = {
    "a pickle": _pickle_root,
    "a pickle called safetensors": _pickle_in_disguise,
    "a pickle in a module": _pickle_dense,
    "a pickle in a module, beside a list of shards": partial(_pickle_dense, shards=True),
    "a pickled adapter": _pickle_adapter,
    "a module of its own": _own_module,
    "a route of its own": _own_route,
    "an activation of its own": _own_activation,
    "a configuration of its own": _own_configuration,
    "a tokenizer of its own": _own_tokenizer,
}
