"""Decides what an index holds: the vector format, an optional shortlist of smaller vectors, and keyword search."""

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
    """Decide what an index holds: the vector format, an optional shortlist of smaller vectors, and keyword search.

    Args:
        selection: the measured system, dimension and precision to index.
        settings: the user's options, such as the shortlist's format.
        reporter: receives a message if the run is too old to have settings for keyword search.

    Returns:
        The index's description, and one codec for each vector format in it: the shortlist's first.

    Raises:
        InputError: the shortlist was not measured, `candidates` is less than 1, or `hybrid.json` is damaged.
    """
    shortlist, candidates = settings.shortlist, settings.candidates
    stages, codecs = [selection.format], [selection.codec]
    if shortlist is not None:
        known, path = selection.files.codecs, selection.run.folder.codecs(selection.point.system)
        if shortlist not in known:
            problem = f"--shortlist {shortlist} was not measured for {selection.point.system}"
            raise InputError(problem, "one of " + ", ".join(known), file=path)
        stages, codecs = [VectorFormat.parse(shortlist), *stages], [known[shortlist], *codecs]
    if candidates < 1:
        raise InputError(f"--candidates is {candidates}", "a whole number of at least 1")
    files = selection.files
    hybrid = None if settings.alone else _read_words(selection, reporter)
    about = About(files.system, files.model.sha256, files.width, tuple(stages), candidates, hybrid=hybrid)
    about = replace(about, model=files.model.hashes)
    recommended = selection.run.recommendation.point
    fuses = hybrid is not None and settings.system is None and recommended is not None and recommended.kind == HYBRID
    return replace(about, fuses=fuses), codecs


def _read_words(selection: Selection, reporter: Reporter) -> Hybrid | None:
    """Read the run's settings of keyword and fused search for the indexed vectors; None if an old run has none."""
    path = selection.run.folder.path("hybrid")
    if path.is_file():
        return read_hybrid(path).settle(selection.format)
    reporter.say(f"The index holds vectors alone: an earlier nestvec made this run, so it has no {path.name}")
    return None
