"""Which shares of the queries are held out.

Oracles: the number of queries that `describe_power` asks for at the default margin; counts of pairs made by hand; the
split of the same records at given shares.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tables import rows, write_csv

import nestvec
from nestvec.data.records import Records
from nestvec.data.split import TEST, TRAIN, VALIDATION, split_records
from nestvec.pipeline.inputs import prepare, read_task
from nestvec.pipeline.shares import ENOUGH_PAIRS, LEAST_PAIRS, LEAST_TRAINED, choose_shares, count_held_out
from nestvec.recommending.power import describe_power
from nestvec.runs.config import config_text, parse_run_config
from nestvec.settings import DataSettings, Settings, SplitSettings


def make_records(queries, documents=None, labels=None):
    """Records of queries with two relevant documents and one that is not; of few documents, each is many queries'."""
    query, number = np.repeat(np.arange(queries), 3), np.tile(np.arange(3), queries)
    document = query * 3 + number if documents is None else (query * 7 + number) % documents
    count = int(document.max()) + 1
    return Records(
        queries=tuple(f"query {row}" for row in range(queries)),
        query_ids=tuple(f"q{row}" for row in range(queries)),
        documents=tuple(f"document {row}" for row in range(count)),
        document_ids=tuple(f"d{row}" for row in range(count)),
        query=query,
        document=document,
        grade=np.where(number == 2, 1.0, 3.0),
        labels=labels,
    )


def choose(records, **given):
    return choose_shares(records, records.grade >= 2, DataSettings(), SplitSettings(**given), 42)


def count_pairs(records, split):
    return int(((records.grade >= 2) & (split_records(records, DataSettings(), split, 42) == TRAIN)).sum())


@pytest.mark.parametrize("queries", [200, 900, 3000, 4000, 5000, 7700, 9000, 25_000])
def test_a_part_gets_the_smallest_share_that_proves_the_default_margin(queries):
    chosen = choose(make_records(queries))
    for share, least, most, systems in ((chosen.validation, 0.1, 0.35, 3), (chosen.test, 0.2, 0.3, 1)):
        enough = describe_power(round(share * queries), 0.01, systems=systems).enough
        assert enough or share == most
        assert share == least or not describe_power(round((share - 0.05) * queries), 0.01, systems=systems).enough
    assert 1 - chosen.validation - chosen.test >= LEAST_TRAINED


def test_shares_by_the_number_of_queries():
    by_number = {
        number: (chosen.validation, chosen.test)
        for number in (60, 900, 5000, 7700, 25_000)
        for chosen in [choose(make_records(number))]
    }
    assert by_number == {
        60: (0.35, 0.3), 900: (0.35, 0.3), 5000: (0.35, 0.3), 7700: (0.3, 0.2), 25_000: (0.1, 0.2)
    }  # fmt: skip


def test_the_documents_say_which_shares_are_chosen():
    document = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    [table] = re.findall(r"\| queries with a relevant document \|.*?\n\n", document, re.DOTALL)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    assert len(lines) == 7
    for number, *shares in lines:
        queries = int(re.sub(r"\D", "", number))
        chosen = choose(make_records(queries))
        assert shares == [f"{share:g}" for share in (*chosen.shares, round(1 - sum(chosen.shares), 2))], number


def test_queries_without_a_relevant_document_prove_nothing_and_do_not_count():
    records = make_records(25_000)
    relevant = (records.grade >= 2) & (records.query % 4 == 0)
    chosen = choose_shares(records, relevant, DataSettings(), SplitSettings(), 42)
    assert chosen == choose(make_records(6250))


def test_shared_documents_that_withhold_most_pairs_make_the_parts_smaller():
    records = make_records(900, documents=500)
    chosen = choose(records)
    assert chosen.validation < 0.35 and chosen.test < 0.3
    smallest = count_pairs(records, SplitSettings(validation=0.1, test=0.2))
    fewest = min(ENOUGH_PAIRS, LEAST_PAIRS * smallest)
    assert count_pairs(records, chosen) >= fewest
    larger = SplitSettings(validation=chosen.validation + 0.05, test=min(chosen.test + 0.05, 0.3))
    assert count_pairs(records, larger) < fewest


def test_the_smallest_shares_are_taken_where_nothing_larger_leaves_enough():
    chosen = choose(make_records(900, documents=40))
    assert (chosen.validation, chosen.test) == (0.1, 0.2)


@pytest.mark.parametrize(
    "given", [{"validation": 0.1}, {"test": 0.5}, {"test": 0.2}, {"validation": 0.05, "test": 0.6}]
)
def test_a_given_share_wins(given):
    chosen = choose(make_records(900))
    other = choose(make_records(900), **given)
    assert {name: getattr(other, name) for name in given} == given
    assert other.validation <= chosen.validation
    assert sum(other.shares) <= max(1 - LEAST_TRAINED, sum(SplitSettings(**given).shares))


def test_the_test_asks_the_same_queries_whatever_validation_gets():
    records = make_records(7700)
    old = split_records(records, DataSettings(), SplitSettings(validation=0.1, test=0.2), 42)
    new = split_records(records, DataSettings(), choose(records), 42)
    assert ((old == TEST) == (new == TEST)).all()
    assert (new[old == VALIDATION] == VALIDATION).all() and (new == VALIDATION).sum() > 1.8 * (old == VALIDATION).sum()


def test_who_is_tested_stays_where_it_is_settled():
    labels = ("train", "test", "train") * 900
    for chosen in (choose(make_records(900, labels=labels)), choose(make_records(900), protocol="published")):
        assert (chosen.validation, chosen.test) == (0.1, 0.2)


def test_the_chosen_shares_are_written_and_read_back_to_the_same_split(tmp_path):
    source = str(write_csv(tmp_path / "judged.csv", rows()))
    prepared = prepare(Settings.from_flat({"source": source, "threshold": 1.5, "epochs": 0}))
    assert prepared.settings.split == SplitSettings(validation=0.35, test=0.3)
    written = parse_run_config(config_text(prepared.settings, prepared.inputs)).settings
    assert (written["validation"], written["test"]) == (0.35, 0.3)
    again = prepare(Settings.from_flat(written))
    assert again.settings == prepared.settings
    assert (again.task.parts == prepared.task.parts).all()


def test_held_out_queries_are_counted_and_a_larger_share_proposed_where_one_would_do(tmp_path):
    """2,000 queries: at the margin of 0.02, some 400 of validation are enough, which are a fifth."""
    table = [
        {"query": f"query {query}", "document": f"document {query} {number}", "grade": 1 + 2 * number}
        for query in range(2000)
        for number in range(2)
    ]
    source = str(write_csv(tmp_path / "judged.csv", table))

    def count(**given):
        settings = Settings.from_flat({"source": source, "threshold": 2, "margin": 0.02, **given})
        records, grades, task = read_task(settings)
        return count_held_out(records, grades, task, settings, 3), task

    held_out, task = count(validation=0.1)
    assert (held_out.validation, held_out.test) == tuple((task.splits == name).sum() for name in ("validation", "test"))
    assert held_out.validation_share == np.ceil(20 * held_out.needed / 2000) / 20
    enough, _ = count(validation=held_out.validation_share)
    assert enough.validation_share is None and enough.validation >= 0.9 * enough.needed
    assert count(validation=0.1, margin=0.01)[0].validation_share is None, "a third has to train"
    assert count(protocol="published")[0].validation == 0
    assert count(validation=0.1)[0].folds == 10
    for given in ({"folds": 10}, {"protocol": "published", "margin": 0.001}, {"margin": 0.2}):
        assert count(**given)[0].folds is None, "every query is held out, or it is settled who is, or enough are"


def test_a_run_begins_with_what_its_queries_can_prove(tmp_path):
    """Also one that trains nothing."""
    said = []
    nestvec.run(
        str(write_csv(tmp_path / "judged.csv", rows())), tmp_path / "run", threshold=1.5, epochs=0, bigger="",
        dimensions=[96], precisions=["int8"], progress=lambda event: said.append(event.message),
    )  # fmt: skip
    lines = [line for line in said if line]
    [place] = [place for place, line in enumerate(lines) if line.startswith("Held out: ")]
    assert place < 3 and lines[place + 1].startswith("The margin of 0.01 takes about 1,500 validation and 1,500 test ")
    queries = nestvec.load_run(tmp_path / "run").recommendation.test.queries
    assert f"validation and {queries} test queries with a relevant document." in lines[place]
