"""Oracles: the tokens of the texts that a batch's label names; the library's own sampler; whole numbers by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from judged import BLADES, CLAW, HACKSAW, HAMMER, SAW, SLEDGE, by_hand
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

from nestvec.evaluation.metrics import Judgements
from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.training.collator import Collator, sampler_columns
from nestvec.training.examples import Examples
from nestvec.training.token_passes import plan_passes, tokenise_texts


@pytest.fixture(scope="module")
def data():
    return by_hand()


@pytest.fixture(scope="module")
def tokens(data):
    return tokenise_texts(load_model(find_model("all-MiniLM-L6-v2")), data.texts.queries, data.texts.documents)


def collated(data, tokens, examples, rows):
    return Collator(examples, tokens)([{"row": row} for row in rows])


def ids_in_order(batch):
    """The token ids of each text of a batch, the queries' and then the documents', as the loss sees them."""
    found = []
    for number in range(len(batch) // 2):
        ids, mask = (batch[f"pass{number}_{name}"] for name in ("input_ids", "attention_mask"))
        found += [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]
    return [found[place] for place in batch["label"]["order"]]


@pytest.mark.parametrize("system", ["mnr", "cosine", "graded"])
@pytest.mark.parametrize("seed", range(3))
def test_the_order_leads_from_the_passes_to_the_texts_that_the_label_names(data, tokens, system, seed):
    examples = data.examples(system)
    rows = np.random.default_rng(seed).permutation(len(examples))[:6].tolist()
    batch = collated(data, tokens, examples, rows)
    label = batch["label"]
    queries, documents = len(data.texts.queries), label["document"].tolist()
    numbers = [*label["query"].tolist(), *(queries + number for number in documents)]
    expected = [tokens.ids[tokens.starts[number] : tokens.starts[number + 1]].tolist() for number in numbers]
    assert ids_in_order(batch) == expected
    assert label["query"].tolist() == [examples.query[row] for row in rows]
    assert set(documents) == {document for row in rows for document in examples.members[row]}
    assert len(batch) == 1 + 2 * len(plan_passes(np.array([len(ids) for ids in expected]))) > 3
    assert all(tensor.dtype == torch.int64 for tensor in label.values())


def test_rows_of_several_documents_bring_each_document_once(data, tokens):
    members = [[CLAW, HACKSAW], [SLEDGE, HACKSAW], [HACKSAW, CLAW, BLADES]]
    examples = replace(data.examples("graded"), query=np.array([HAMMER, HAMMER, SAW]), members=members)
    label = collated(data, tokens, examples, [2, 0, 1])["label"]
    assert label["query"].tolist() == [SAW, HAMMER, HAMMER]
    assert label["document"].tolist() == [HACKSAW, CLAW, BLADES, SLEDGE]


def test_rows_of_one_document_bring_one_each(data, tokens):
    examples = data.examples("cosine")
    rows = [row for row, members in enumerate(examples.members) if members == [CLAW]]
    label = collated(data, tokens, examples, rows)["label"]
    assert label["document"].tolist() == [CLAW] * 3
    assert label["query"].tolist() == [HAMMER, HAMMER, SAW]


def test_columns_number_queries_and_documents_apart(data):
    pairs, contrasts = data.examples("mnr"), data.examples("graded")
    queries = len(data.texts.queries)
    found = sampler_columns(pairs)
    assert found["row"] == list(range(len(pairs)))
    assert found["query"] == pairs.query.tolist()
    assert found["document"] == [queries + members[0] for members in pairs.members]
    assert sampler_columns(contrasts) == {"row": list(range(len(contrasts))), "query": contrasts.query.tolist()}


@pytest.mark.parametrize("seed", range(3))
def test_the_librarys_sampler_repeats_neither_a_query_nor_a_document_in_a_batch(data, tokens, seed):
    rng = np.random.default_rng(seed)
    query, document = rng.integers(0, 12, 60), rng.integers(0, 15, 60)
    known = Judgements(query, document, np.ones(60, np.int64), (12, 15), 1)
    examples = Examples(query, [[number] for number in document.tolist()], known, 1)
    collator = Collator(examples, tokens)
    rows = Dataset.from_dict(sampler_columns(examples))
    sampler = NoDuplicatesBatchSampler(rows, 8, False, list(collator.valid_label_columns), torch.Generator(), seed)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(60))
    for batch in batches:
        assert len(set(query[batch])) == len(set(document[batch])) == len(batch)
    assert max(map(len, batches)) == 8
    assert any(set(query[batch]) & set(document[batch]) for batch in batches)  # equal numbers mean different texts
