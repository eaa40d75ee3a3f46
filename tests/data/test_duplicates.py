"""Oracle: brute force over all pairs, and hand-made groups."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from nestvec.data.duplicates import find_near_duplicates


def test_near_duplicates_against_all_pairs():
    rng = np.random.default_rng(3)
    texts = [" ".join(map(str, rng.choice(60, 30, replace=False))) for _ in range(60)]
    for text in texts[:30]:  # some words of each replaced, from none to all
        words = text.split()
        for index in rng.choice(30, rng.integers(0, 6), replace=False):
            words[index] = f"x{index}"
        texts.append(" ".join(reversed(words)))
    sets = [set(text.split()) for text in texts]
    near = [(a, b) for a, b in combinations(range(90), 2) if len(sets[a] & sets[b]) >= 0.9 * len(sets[a] | sets[b])]
    duplicates = find_near_duplicates(texts)
    assert 0 < len(near) < 30
    assert duplicates["documents"] == len({row for pair in near for row in pair}) == 2 * duplicates["groups"]
    assert {tuple(sorted(group)) for group in duplicates["examples"]} <= {
        tuple(sorted((texts[a], texts[b]))) for a, b in near
    }


def test_near_duplicates_at_the_edges():
    same = find_near_duplicates(["Nut", "nut.", "bolt", "!", "?"])
    assert (same["documents"], same["identical"], same["groups"]) == (2, 2, 1)
    assert same["examples"] == [["Nut", "nut."]]
    assert find_near_duplicates(["", "...", "one"])["documents"] == 0
    assert find_near_duplicates(["one"] * 4)["examples"] == [["one"] * 3]
