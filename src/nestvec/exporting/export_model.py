"""Runs `nestvec export`: writes a model and checks that it still gives the vectors that the run measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from nestvec.errors import InputError, replace_unprintable
from nestvec.exporting.earlier_export import keep_own_files, refuse_foreign
from nestvec.exporting.export_settings import ExportArguments, ExportSettings
from nestvec.exporting.model_card import write_readme
from nestvec.exporting.model_origin import find_origin
from nestvec.exporting.parity import Parity, measure_parity
from nestvec.exporting.search_recipes import write_recipes
from nestvec.exporting.targets import write_model
from nestvec.files import replacing, sha256
from nestvec.models.encoder import open_encoder
from nestvec.models.export_card import CODEC, README, TARGETS, WEIGHTS, Card, hash_files, write_card
from nestvec.models.load import load_model, quiet_libraries
from nestvec.models.model_files import WEIGHTS as WEIGHTS_FILE
from nestvec.models.onnx_graph import OUTPUT, input_names
from nestvec.models.prompts import encode_method
from nestvec.models.token_batches import read_token_limit
from nestvec.progress import Reporter, Silent
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.settings import from_keywords
from nestvec.vectors.stored import save_codecs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from nestvec.models.prompts import Role
    from nestvec.runs.point_files import Selection

_NAMED = 5  # most kept files that the summary names
_GRAPHS = ("onnx", "openvino")  # targets that are graphs; the backend of the same name runs them
_WEIGHTS = {"sentence-transformers": ("float32",), "onnx": WEIGHTS, "openvino": ("float32", "int8")}


@dataclass(frozen=True)
class Exported:
    """A finished export: its folder, and how close the model's vectors are to those that the run measured."""

    folder: Path
    card: Card
    parity: Parity  # how close the export's vectors are to the measured ones
    bytes: int  # total size of its files
    kept: tuple[str, ...] = ()  # files that were in the folder before and that no export wrote

    @property
    def summary(self) -> str:
        """The lines that `nestvec export` prints: the model, its size, and the comparison with the measured vectors."""
        card = self.card
        first = f"{self.folder}: {card.system} at {card.point} for {card.to}, weights in {card.weights}"
        return "\n".join([f"{first}, {self.bytes / 1e6:,.1f} MB", self.parity.summary, *self._name_kept()])

    def _name_kept(self) -> list[str]:
        """Make the line that names the user's own files that stayed in the folder; gives [] without such files."""
        more = f" and {len(self.kept) - _NAMED:,} more" if len(self.kept) > _NAMED else ""
        named = ", ".join(map(replace_unprintable, self.kept[:_NAMED]))
        return [f"kept files that no export wrote: {named}{more}"] if self.kept else []


def export(
    run: str | Path,
    out: str | Path,
    to: str = "sentence-transformers",
    *,
    reporter: Reporter | None = None,
    **options: Unpack[ExportArguments],
) -> Exported:
    """Export a model of a run that gives the same vectors as measured, with its codec and a model card.

    Args:
        run: the folder of a finished run.
        out: the folder to write: new, empty, or an earlier export. An earlier export's files are replaced; other files
            in the folder are kept.
        to: `sentence-transformers`, `onnx` or `openvino`.
        reporter: receives progress.
        options: the fields of `ExportSettings`, such as `system="mnr"`, `dimension=48` and `weights="int8"`.

    Returns:
        The finished export.

    Raises:
        InputError: the run recommends nothing and no system is named, an option has an unknown value, `out` cannot be
            written, or one of your own files in `out` has the name of a file of the new export.
        MissingExtraError: a library that the target needs is not installed.
        NestvecError: the written model's vectors differ from those that the run measured, or the disk is full; `out`
            is not changed.
    """
    reporter, out = reporter or Silent(), Path(out)
    settings = from_keywords(ExportSettings, {**options, "to": to}, "export")
    _refuse_unknown(to, settings.weights)
    refuse_foreign(out)
    chosen = select(load_run(run), settings.system, settings.dimension, settings.precision, axes=settings.axes)
    try:
        with replacing(out) as folder:
            folder.mkdir()
            card, parity = _write_export(folder, chosen, settings, reporter)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            kept = keep_own_files(out, folder)
    except OSError as error:  # `replacing` reports a full disk itself
        reason = error.strerror or str(error)
        raise InputError(f"cannot be written ({reason})", "a folder for the export", file=out) from error
    return Exported(out, card, parity, size, kept)


def _write_export(folder: Path, chosen: Selection, settings: ExportSettings, reporter: Reporter) -> tuple[Card, Parity]:
    """Write an export's files to an empty folder, and compare the model's vectors with those that the run measured."""
    model, to, weights = load_model(chosen.model), settings.to, settings.weights
    calibrated = ", calibrated on training documents" if weights == "int8" else ""
    reporter.say(f"export {chosen.files.system} at {chosen.format.name} for {to}, weights in {weights}{calibrated}")
    write_recipes(folder, chosen)
    card = write_bare_export(folder, chosen, model, to, weights)
    parity = measure_parity(chosen, _open_export(folder, to), weights, reporter)
    parity.refuse_other()
    card = replace(card, parity=parity.to_json())
    write_card(folder, card)
    write_readme(folder / README, chosen, card)
    return card, parity


def write_bare_export(folder: Path, chosen: Selection, model: SentenceTransformer, to: str, weights: str) -> Card:
    """Write a loaded model, its codec and `nestvec.json`, without comparing its vectors with the measured ones."""
    card = _make_card(chosen, model, to, weights)
    write_model(folder, model, chosen, card)
    save_codecs(folder / CODEC, {card.point: chosen.codec.with_axes(None)})
    card = _add_hashes(folder, card)
    write_card(folder, card)
    return card


def _refuse_unknown(to: str, weights: str) -> None:
    """Raise InputError if --to or --weights has an unknown value, or if the target does not support these weights."""
    if to not in TARGETS:
        raise InputError(f"--to is {to!r}", f"one of {', '.join(TARGETS)}")
    if weights not in WEIGHTS:
        raise InputError(f"--weights is {weights!r}", f"one of {', '.join(WEIGHTS)}")
    if weights not in _WEIGHTS[to]:
        raise InputError(f"--to {to} does not support --weights {weights}", f"--weights {' or '.join(_WEIGHTS[to])}")


def _make_card(chosen: Selection, model: SentenceTransformer, to: str, weights: str) -> Card:
    """Make the content of `nestvec.json`, still without the files' hashes and the comparison of vectors."""
    return Card(
        to=to,
        system=chosen.point.system,
        base=find_origin(chosen).name,
        dimension=chosen.dimension,
        full_dimension=chosen.files.width,
        precision=chosen.format.precision,
        weights=weights,
        max_length=read_token_limit(model),
        pad_id=getattr(model.tokenizer, "pad_token_id", None) or 0,
        inputs=tuple(input_names(model)) if to in _GRAPHS else ("text",),
        output=OUTPUT,
        query_prompt=chosen.model.prompts.query,
        document_prompt=chosen.model.prompts.document,
        model_sha256=chosen.model.sha256,
        model=chosen.model.hashes,
        axes=chosen.format.axes,
        files={},
        parity={},
    )


def _add_hashes(folder: Path, card: Card) -> Card:
    """Return the card (`nestvec.json`) with the hashes of all files that were written to the export's folder."""
    weights = folder / WEIGHTS_FILE
    return replace(card, files=hash_files(folder), sha256=sha256(weights) if weights.is_file() else None)


def _open_export(folder: Path, to: str) -> Callable[[Sequence[str], Role], NDArray[np.float32]]:
    """Open an export with the library it was made for, and return a function that encodes texts in float32."""
    if to in _GRAPHS:
        return open_encoder(folder, backend=to, compute="float32").encode
    from sentence_transformers import SentenceTransformer

    with quiet_libraries():
        model = SentenceTransformer(str(folder), local_files_only=True)

    def encode(texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        with quiet_libraries():
            found: NDArray[np.float32] = encode_method(model, role)(list(texts), show_progress_bar=False)
        return found

    return encode
