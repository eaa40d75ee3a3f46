"""Oracle: data whose truth was planted: grades that mean nothing, and words that only judgements can bring together."""

from __future__ import annotations

import random

import pytest
from tables import write_csv

import nestvec

# float16 changes no ranking: int8 moves one of the few queries on some machines, and then no number of them would do
OPTIONS = {"systems": "mnr", "epochs": 6, "resamples": 1000, "precisions": "float16", "dimensions": "96", "seed": 3}
CONCEPTS, WORDS = 30, 10


def invented(rng):
    """A word that nobody knows."""
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))


def planted(random_grades):
    """Queries in one invented tongue, documents in another; each query's own documents are of its concept."""
    rng = random.Random(5)
    asked, told = ([invented(rng) for _ in range(CONCEPTS)] for _ in range(2))
    extra = [invented(rng) for _ in range(200)]
    table = []
    for concept in range(CONCEPTS):
        for _ in range(WORDS):
            query = f"{asked[concept]} {rng.choice(extra)} {rng.choice(extra)}"
            for place in range(5):
                found = concept if place < 2 and not random_grades else rng.randrange(CONCEPTS)
                grade = rng.choice([1, 2, 3]) if random_grades else 3 if place < 2 else 1
                document = f"{told[found]} {rng.choice(extra)} model {invented(rng)}"  # a number would tell its row
                table.append({"query": query, "document": document, "grade": grade})
    return table


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    def made(random_grades):
        folder = tmp_path_factory.mktemp("verdict")
        source = write_csv(folder / "judged.csv", planted(random_grades))
        return nestvec.run(str(source), folder / "run", threshold=2.5, **OPTIONS)

    return made


@pytest.mark.slow  # MiniLM is trained on 300 queries; the next one does so in every run of the tests
def test_grades_that_mean_nothing_end_in_do_not_ship(outcome):
    run = outcome(random_grades=True)
    assert not run.ships
    assert run.recommendation["reason"].startswith("Do not ship")


@pytest.mark.slow
def test_a_planted_gain_is_found_and_so_is_what_it_would_take_to_shrink(outcome):
    run = outcome(random_grades=False)
    made = run.recommendation
    assert run.ships
    assert made["gate"]["pretrained"]["low"] > 0
    assert made["gate"]["bm25"]["low"] > 0
    assert made["test_gate"]["pretrained"]["low"] > 0
    # some thirty validation queries promise nothing about a hundredth
    assert made["point"] == made["reference"]
    assert made["queries_needed"] > 100
    assert f"{made['queries_needed']:,}" in made["reason"]
