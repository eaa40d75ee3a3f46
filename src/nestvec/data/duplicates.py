"""Finds near-duplicate documents: documents with nearly the same set of words, by MinHash (datasketch)."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THRESHOLD = 0.9  # Jaccard similarity of the word sets
_BANDS = (8, 8)  # bands, and hashes per band: finds 99 % of the pairs at the threshold, and nearly all above it
_EXAMPLES, _SHOWN, _LONGEST = 5, 3, 400  # example groups, texts per group, characters per text
_MOST_CANDIDATES = 100  # candidates that a text is compared with; a text with more is not a candidate for later ones


def find_near_duplicates(texts: Sequence[str]) -> dict[str, Any]:
    """Group documents whose set of words has a Jaccard similarity of `THRESHOLD` or more with another document's.

    Candidates come from locality-sensitive hashing (Broder 1997), which may miss a few near the threshold; each is
    compared word by word before it counts. Of very many variants of one text only the first are candidates, so that
    the time grows with n and not with its square. Texts without any word are left out.

    Args:
        texts: n documents.

    Returns:
        `compared`: n; `threshold`; `documents`: how many have a near-duplicate; `identical`: how many of these have the
        very same words as another document; `groups`: how many groups they form; `examples`: a few groups' texts, those
        of groups with different texts first.
    """
    same: dict[frozenset[str], list[int]] = {}
    for row, text in enumerate(texts):
        same.setdefault(frozenset(re.findall(r"\w+", text.casefold())), []).append(row)
    same.pop(frozenset(), None)
    members = list(same.values())
    groups = [[row for index in indices for row in members[index]] for indices in _group_similar(list(same))]
    groups = [sorted(rows) for rows in groups if len(rows) > 1]
    shown = sorted(([texts[row] for row in rows] for rows in sorted(groups)), key=lambda group: len(set(group)) == 1)
    return {
        "compared": len(texts),
        "threshold": THRESHOLD,
        "documents": sum(map(len, groups)),
        "identical": sum(len(rows) for rows in members if len(rows) > 1),
        "groups": len(groups),
        "examples": [_pick_examples(group) for group in shown[:_EXAMPLES]],
    }


def _group_similar(sets: list[frozenset[str]]) -> list[list[int]]:
    """Group the indices of word sets, linked by similar pairs; a set that resembles no other is a group of its own."""
    group = list(range(len(sets)))

    def find_root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    for index, candidates in enumerate(_find_candidates(sets)):
        for other in candidates:
            if find_root(index) != find_root(other) and _jaccard(sets[index], sets[other]) >= THRESHOLD:
                group[find_root(index)] = find_root(other)
    groups: dict[int, list[int]] = {}
    for index in range(len(sets)):
        groups.setdefault(find_root(index), []).append(index)
    return list(groups.values())


def _find_candidates(sets: list[frozenset[str]]) -> Iterator[list[int]]:
    """Yield for each set the earlier sets that may be similar: they have a hash band in common, and a similar size."""
    buckets = [defaultdict[bytes, list[int]](list) for _ in range(_BANDS[0])]
    for index, bands in enumerate(_hash_sets(sets)):
        alike = [bucket[band] for bucket, band in zip(buckets, bands, strict=True)]
        candidates = sorted(set().union(*alike))[:_MOST_CANDIDATES]
        if len(candidates) < _MOST_CANDIDATES:
            for bucket in alike:
                bucket.append(index)
        possible = _find_similar_sizes(len(sets[index]))
        yield [other for other in candidates if len(sets[other]) in possible]


def _hash_sets(sets: list[frozenset[str]]) -> Iterator[list[bytes]]:
    """Compute the MinHash signature of each set of words, cut into bands."""
    from datasketch import MinHash

    signature = MinHash(num_perm=prod(_BANDS), seed=1)  # one for all: to make one takes as long as to fill it
    for words in sets:
        signature.clear()
        signature.update_batch([word.encode() for word in sorted(words)])
        yield [band.tobytes() for band in signature.hashvalues.reshape(_BANDS)]


@cache
def _find_similar_sizes(size: int) -> frozenset[int]:
    """List the sizes, in words, that a set can have if it is similar to a different set of `size` words."""
    most = {other: min(size, other) - (size == other) for other in range(size // 2, 2 * size + 1)}  # words in both
    return frozenset(other for other, both in most.items() if both / (size + other - both) >= THRESHOLD)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    both = len(a & b)
    return both / (len(a) + len(b) - both)


def _pick_examples(group: list[str]) -> list[str]:
    """Pick the first few texts of a group of near-duplicates; each text once, unless all texts are equal."""
    different = list(dict.fromkeys(group))
    return [text[:_LONGEST] for text in (different if len(different) > 1 else group)[:_SHOWN]]
