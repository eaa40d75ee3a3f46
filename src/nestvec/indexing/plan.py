"""What an index of a measured point is to serve: its stages, their codecs, and how words match beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nestvec.errors import InputError
from nestvec.lexical.hybrid_file import read_hybrid
from nestvec.point import HYBRID, VectorFormat
from nestvec.stores.store import About

if TYPE_CHECKING:
    from nestvec.indexing.index_settings import IndexSettings
    from nestvec.lexical.hybrid_file import Hybrid
    from nestvec.progress import Reporter
    from nestvec.runs.point_files import Selection
    from nestvec.vectors.codecs import Codec


def plan_index(selection: Selection, settings: IndexSettings, reporter: Reporter) -> tuple[About, list[Codec]]:
    """What an index is to serve, and the codecs of its stages.

    Args:
        selection: the point.
        settings: what the index is built of.
        reporter: is told where the run has no words to go with the vectors.

    Returns:
        Both, to be given to `Store.build`.

    Raises:
        InputError: the shortlist was not measured, the candidates are less than 1, or `hybrid.json` is damaged.
    """
    shortlist, candidates = settings.shortlist, settings.candidates
    stages, codecs = [selection.format], [selection.codec]
    if shortlist is not None:
        known, path = selection.files.codecs, selection.run.folder.codecs(selection.point.system)
        if shortlist not in known:
            raise InputError(f"--shortlist {shortlist} was not measured", "one of " + ", ".join(known), file=path)
        stages, codecs = [VectorFormat.parse(shortlist), *stages], [known[shortlist], *codecs]
    if candidates < 1:
        raise InputError(f"--candidates is {candidates}", "a whole number from 1 on")
    files = selection.files
    hybrid = None if settings.alone else _read_words(selection, reporter)
    about = About(files.system, files.model.sha256, files.width, tuple(stages), candidates, hybrid=hybrid)
    about = replace(about, model=files.model.hashes)
    recommended = selection.run.recommendation.point
    fuses = hybrid is not None and settings.system is None and recommended is not None and recommended.kind == HYBRID
    return replace(about, fuses=fuses), codecs


def _read_words(selection: Selection, reporter: Reporter) -> Hybrid | None:
    """How words match and fuse with the point's vectors, as the run fitted it; None for a run of before it did so."""
    path = selection.run.folder.path("hybrid")
    if path.is_file():
        return read_hybrid(path).settle(selection.format)
    reporter.say(f"the run has no {path.name}, as an earlier nestvec made it, so the index holds vectors alone")
    return None
