"""Encodes ids for TREC files, in which white space separates the fields, if the ids hold white space.

White space is percent-encoded, and so is the percent sign in an id with white space. If the encoded id equals another
id, it is encoded once more. `data/trec_ids.json` lists the ids that were changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from nestvec.errors import InputError
from nestvec.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_SPACE = re.compile(r"\s")
_ENCODED = re.compile(r"[\s%]")


@dataclass(frozen=True)
class TrecIds:
    """Maps ids to their encoded ids in TREC files and back; ids without white space are written unchanged.

    Attributes:
        forms: the encoded id of each id that is changed.
    """

    forms: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Encode the ids that hold white space, so that no two ids are written alike in TREC files."""
        known = list(ids)
        odd = sorted(name for name in known if _SPACE.search(name))
        taken, forms = set(known) if odd else set(), dict[str, str]()
        for name in odd:
            form = name
            while form in taken:  # the id itself is taken, so this encodes at least once
                form = _ENCODED.sub(lambda match: quote(match[0], safe=""), form)
            taken.add(form)
            forms[name] = form
        return cls(forms)

    def write(self, name: str) -> str:
        """Return an id as it is written in TREC files."""
        return self.forms.get(name, name)

    @property
    def names(self) -> dict[str, str]:
        """The original id of each encoded id."""
        return {form: name for name, form in self.forms.items()}


def read_trec_ids(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read `data/trec_ids.json`, which lists the ids that are encoded in the run's TREC files.

    Args:
        path: the file.

    Returns:
        The original ids by encoded ids, of queries and of documents; both empty without a file: no id was changed.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return {}, {}
    values = read_json(path)
    parts = [values.get(kind) if isinstance(values, dict) else None for kind in ("queries", "documents")]
    for part in parts:
        if not isinstance(part, dict) or not all(isinstance(name, str) for name in part.values()):
            wanted = "objects `queries` and `documents` that map ids in TREC files to ids of the run: restore the file"
            raise InputError("is damaged", wanted, file=path)
    queries, documents = parts
    return dict(queries or {}), dict(documents or {})
