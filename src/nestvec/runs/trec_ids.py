"""Ids in TREC files, whose fields are separated by white space: ids that hold white space are encoded.

White space is percent-encoded, and so is the percent sign in an id with white space. If the result equals another id,
it is encoded once more. `data/trec_ids.json` lists the ids that were changed.
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
    """Maps ids to the encoded form in TREC files and back; ids that are not listed are written unchanged.

    Attributes:
        forms: forms by id.
    """

    forms: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Encode distinct ids for TREC files, so that no two ids have the same encoded form."""
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
        """Give the encoded form of an id in TREC files."""
        return self.forms.get(name, name)

    @property
    def names(self) -> dict[str, str]:
        """Ids by the encoded form in TREC files."""
        return {form: name for name, form in self.forms.items()}


def read_trec_ids(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read `data/trec_ids.json`, which lists the ids that TREC files hold encoded.

    Args:
        path: the file.

    Returns:
        Ids by form, for queries and for documents; both empty if there is no file, because no id was changed.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return {}, {}
    values = read_json(path)
    parts = [values.get(kind) if isinstance(values, dict) else None for kind in ("queries", "documents")]
    for part in parts:
        if not isinstance(part, dict) or not all(isinstance(name, str) for name in part.values()):
            raise InputError("is damaged", "ids of queries and documents by their form in TREC files", file=path)
    queries, documents = parts
    return dict(queries or {}), dict(documents or {})
