"""Documents that say nearly the same: sets of words that overlap almost wholly, found by MinHash (datasketch)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

THRESHOLD = 0.9  # Jaccard similarity of the word sets
_BANDS = (8, 8)  # of so many hashes each: finds 99 % of the pairs at the threshold, and all but all above it
_EXAMPLES, _SHOWN, _LONGEST = 5, 3, 400  # groups, texts of each, letters of a text
_ENOUGH = 100  # candidates of a text that are compared; whoever has more is no candidate for others


def find_near_duplicates(texts: Sequence[str]) -> dict[str, Any]:
    """Group documents whose sets of words have a Jaccard similarity of `THRESHOLD` or more with another one's.

    Candidates come from locality-sensitive hashing (Broder 1997), which may miss a few near the threshold; each is
    compared word by word before it counts. Of very many variants of one text only the first are candidates, so that
    the time grows with n and not with its square. Texts without any word are left out.

    Args:
        texts: n documents.

    Returns:
        `compared`: n; `threshold`; `documents`: how many have a near-duplicate; `identical`: how many of these have the
        very same words as another one; `groups`: how many groups they form; `examples`: a few groups' texts, those that
        differ first.
    """
    same: dict[frozenset[str], list[int]] = {}
    for row, text in enumerate(texts):
        same.setdefault(frozenset(re.findall(r"\w+", text.casefold())), []).append(row)
    same.pop(frozenset(), None)
    members = list(same.values())
    groups = [[row for place in places for row in members[place]] for places in _joined(list(same))]
    groups = [sorted(rows) for rows in groups if len(rows) > 1]
    shown = sorted(([texts[row] for row in rows] for rows in sorted(groups)), key=lambda group: len(set(group)) == 1)
    return {
        "compared": len(texts),
        "threshold": THRESHOLD,
        "documents": sum(map(len, groups)),
        "identical": sum(len(rows) for rows in members if len(rows) > 1),
        "groups": len(groups),
        "examples": [_example(group) for group in shown[:_EXAMPLES]],
    }


def _joined(sets: list[frozenset[str]]) -> list[list[int]]:
    """Sets of words in groups: connected by similarity; one that resembles no other is a group of its own."""
    from datasketch import MinHash, MinHashLSH

    group = list(range(len(sets)))

    def root(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    bands, rows = _BANDS
    words = [[word.encode() for word in sorted(found)] for found in sets]
    index = MinHashLSH(num_perm=bands * rows, params=_BANDS)
    for place, signature in enumerate(MinHash.bulk(words, num_perm=bands * rows, seed=1)):
        candidates = sorted(index.query(signature))[:_ENOUGH]
        for other in candidates:
            if root(place) != root(other) and _similarity(sets[place], sets[other]) >= THRESHOLD:
                group[root(place)] = root(other)
        if len(candidates) < _ENOUGH:
            index.insert(place, signature, check_duplication=False)
    found: dict[int, list[int]] = {}
    for place in range(len(sets)):
        found.setdefault(root(place), []).append(place)
    return list(found.values())


def _similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity."""
    return len(a & b) / len(a | b)


def _example(group: list[str]) -> list[str]:
    """The first few texts of a group, one that differs rather than one that does not."""
    different = list(dict.fromkeys(group))
    return [text[:_LONGEST] for text in (different if len(different) > 1 else group)[:_SHOWN]]
