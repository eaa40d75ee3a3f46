"""Documents that say nearly the same: sets of words that overlap almost wholly, found by MinHash (datasketch)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

THRESHOLD = 0.9  # Jaccard similarity of the word sets
_PERMUTATIONS = 64
_EXAMPLES = 5


def find_near_duplicates(texts: Sequence[str]) -> dict[str, Any]:
    """Group documents whose sets of words have a Jaccard similarity of `THRESHOLD` or more with another one's.

    Candidates come from locality-sensitive hashing (Broder 1997), which may miss a few near the threshold; each is
    compared word by word before it counts.

    Args:
        texts: n documents.

    Returns:
        `compared`: n; `threshold`; `documents`: how many have a near-duplicate; `groups`: how many groups they form;
        `examples`: a few groups' texts.
    """
    from datasketch import MinHash, MinHashLSH

    words = [frozenset(re.findall(r"\w+", text.casefold())) for text in texts]
    hashes = MinHash.bulk(
        [[word.encode() for word in sorted(found)] for found in words], num_perm=_PERMUTATIONS, seed=1
    )
    index = MinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS)
    group = list(range(len(texts)))

    def root(row: int) -> int:
        while group[row] != row:
            group[row] = group[group[row]]
            row = group[row]
        return row

    for row, signature in enumerate(hashes):
        for other in index.query(signature):
            if root(row) != root(other) and _similarity(words[row], words[other]) >= THRESHOLD:
                group[root(row)] = root(other)
        index.insert(row, signature, check_duplication=False)
    members: dict[int, list[int]] = {}
    for row in range(len(texts)):
        members.setdefault(root(row), []).append(row)
    found = [rows for rows in members.values() if len(rows) > 1]
    return {
        "compared": len(texts),
        "threshold": THRESHOLD,
        "documents": sum(map(len, found)),
        "groups": len(found),
        "examples": [[texts[row][:200] for row in rows[:3]] for rows in found[:_EXAMPLES]],
    }


def _similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity; 1 for two empty sets."""
    return len(a & b) / len(a | b) if a or b else 1.0
