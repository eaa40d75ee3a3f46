"""Oracles: sentence-transformers' own losses, called as its trainer calls them; finite differences; fractions by hand.

A document whose cosine with every query is log(k) / 20 weighs k in the softmax, so a loss is the logarithm
of a fraction.
"""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch
from judged import (
    BATTERY,
    BLADES,
    CLAW,
    DIGGING,
    DRILL,
    DRILLING,
    HACKSAW,
    HAMMER,
    HANDLE,
    LEVEL,
    RAKE,
    SAW,
    SHOVEL,
    SLEDGE,
    VOLTS,
    by_hand,
)
from sentence_transformers.sentence_transformer.losses import (
    CoSENTLoss,
    CosineSimilarityLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from tiny_mpnet import save_tiny_mpnet
from torch.nn import functional

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.point import FULL, VectorFormat
from nestvec.settings import Settings
from nestvec.training.collator import Collator
from nestvec.training.losses import SCALE, listwise_loss
from nestvec.training.objective import Objective, Term, pass_through_codec
from nestvec.training.systems import SYSTEMS, make_objective
from nestvec.training.token_passes import tokenise_texts
from nestvec.vectors.codecs import CODECS

MATRICES = {  # one in the middle of each model
    "MiniLM": "0.model.encoder.layer.3.attention.self.query.weight",
    "MPNet": "0.model.encoder.layer.0.attention.attn.q.weight",
}
WIDTHS = (384, 96, 48)
STOCK = {"mnr": MultipleNegativesRankingLoss, "cosine": CosineSimilarityLoss, "cosent": CoSENTLoss}
NAMES = {
    "mnr": "mnr",
    "matryoshka": "mnr",
    "cosine": "cosine",
    "cosine-matryoshka": "cosine",
    "cosent": "cosent",
    "cosent-matryoshka": "cosent",
}


@pytest.fixture(scope="module")
def data():
    return by_hand()


@pytest.fixture(scope="module", params=list(MATRICES))
def model(request, tmp_path_factory):
    """A model without dropout; gradients are taken of one weight matrix only."""
    if request.param == "MPNet":
        name = str(save_tiny_mpnet(tmp_path_factory.mktemp("tiny") / "mpnet"))
    else:
        name = "all-MiniLM-L6-v2"
    found = load_model(find_model(name)).eval().requires_grad_(False)
    found.get_parameter(MATRICES[request.param]).requires_grad_()
    return found


@pytest.fixture(scope="module")
def collate(model, data):
    tokens = tokenise_texts(model, data.texts.queries, data.texts.documents)
    return lambda examples, rows: Collator(examples, tokens)([{"row": row} for row in rows])


def features(batch):
    """A batch as the trainer hands it to the loss: a dict per column, and the label."""
    columns = {}
    for name, tensor in batch.items():
        if name != "label":
            column, part = name.split("_", 1)
            columns.setdefault(column, {})[part] = tensor
    return list(columns.values()), batch["label"]


def value_and_gradient(model, loss, *inputs):
    """The loss and what it asks of a weight matrix in the middle."""
    found = loss(*inputs)
    return found.item(), torch.autograd.grad(found, next(model_weights(model)))[0]


def model_weights(model):
    """What gradients are taken of."""
    return (weights for weights in model.parameters() if weights.requires_grad)


def distinct(examples):
    """Rows of which no two share a query or a document, as the sampler picks them for a ranking loss."""
    rows, seen = [], set()
    for row, (query, members) in enumerate(zip(examples.query.tolist(), examples.members, strict=True)):
        values = {("query", query), *(("document", document) for document in members)}
        if seen.isdisjoint(values):
            rows.append(row)
            seen |= values
    return rows


@pytest.mark.parametrize(
    ("system", "weights"),
    [*((name, None) for name in NAMES), ("matryoshka", "1,0.5,2"), ("cosent-matryoshka", "0,1,3")],
)
def test_a_systems_objective_is_the_librarys(model, data, collate, system, weights):
    examples, widths = data.examples(system), (model.get_embedding_dimension(), 96, 48)
    rows = distinct(examples) if SYSTEMS[system].distinct else range(0, len(examples), 2)
    settings = Settings.from_flat({"compute": "float32", "dimension_weights": weights})
    ours = value_and_gradient(
        model, make_objective(SYSTEMS[system], model, examples, widths, settings), *features(collate(examples, rows))
    )
    query, document = examples.query[rows], [examples.members[row][0] for row in rows]
    texts = [data.texts.queries[row] for row in query], [data.texts.documents[row] for row in document]
    grades = {
        (data.records.query[row], data.texts.number[data.records.document[row]]): 0.0
        for row in range(len(data.records))
    }
    for row in np.flatnonzero(data.task.in_part("train")):
        pair = data.records.query[row], data.texts.number[data.records.document[row]]
        grades[pair] = max(grades[pair], (data.records.grade[row] - 1) / 2)
    label = torch.tensor([grades[pair] for pair in zip(query, document, strict=True)])
    stock = STOCK[NAMES[system]](model)
    if SYSTEMS[system].nested:
        factors = [float(weight) for weight in weights.split(",")] if weights else None
        stock = MatryoshkaLoss(model, stock, widths, factors)
    theirs = value_and_gradient(model, stock, [model.preprocess(list(column)) for column in texts], label)
    assert len(rows) >= 5 and theirs[0] > 0.01
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    assert float((ours[1] - theirs[1]).norm() / theirs[1].norm()) < 1e-4


def test_graded_is_mnr_where_each_query_has_one_positive_and_no_other_grade(model, data, collate):
    examples = data.examples("graded")
    rows = [row for row, query in enumerate(examples.query) if query in (DRILLING, DIGGING, VOLTS)]
    assert [list(examples.members[row]) for row in rows] == [[DRILL], [SHOVEL], [BATTERY]]
    settings = Settings.from_flat({"compute": "float32", "codes": "", "dimension_weights": "1,1,1"})
    ours = value_and_gradient(
        model, make_objective(SYSTEMS["graded"], model, examples, WIDTHS, settings), *features(collate(examples, rows))
    )
    texts = (
        [data.texts.queries[row] for row in examples.query[rows]],
        [data.texts.documents[examples.members[row][0]] for row in rows],
    )
    stock = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), WIDTHS)
    theirs = value_and_gradient(model, stock, [model.preprocess(list(column)) for column in texts], torch.zeros(3))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    assert float((ours[1] - theirs[1]).norm() / theirs[1].norm()) < 1e-4


def unit(rows, width, seed):
    vectors = torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(vectors).requires_grad_()


def test_listwise_is_multiple_negatives_ranking_for_a_relevant_document_each(model):
    sides = unit(5, 8, 1), unit(5, 8, 2)
    queries, documents = (functional.normalize(side) for side in sides)  # the library normalises once more
    ours = listwise_loss(queries, documents, torch.eye(5, dtype=torch.bool), torch.zeros(5, 5, dtype=torch.bool))
    theirs = MultipleNegativesRankingLoss(model).compute_loss_from_embeddings([queries, documents], torch.zeros(5))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    gradients = (torch.autograd.grad(loss, sides, retain_graph=True) for loss in (ours, theirs))
    for mine, other in zip(*gradients, strict=True):
        assert torch.allclose(mine, other, rtol=1e-10, atol=1e-12)


def test_adapted_is_the_mean_of_cross_entropies_both_ways(data):
    """PyTorch's own cross-entropy over rows, and over columns, of the scaled cosines."""
    queries, documents = unit(5, 8, 1), unit(5, 8, 2)
    settings = Settings.from_flat({"compute": "float32", "scale": 12.0})
    label = {"query": torch.arange(5), "document": torch.arange(5)}
    objective = make_objective(SYSTEMS["adapted"], None, data.examples("adapted"), (8, 4), settings)
    ours, own = objective.vector_loss(queries, documents, label), torch.arange(5)
    cosines = 12.0 * queries @ documents.T
    theirs = (functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)) / 2
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)


@pytest.mark.parametrize("each", [1, 3])
def test_the_gradient_of_listwise_is_that_of_finite_differences(each):
    queries, documents = unit(3, 5, 3), unit(7, 5, 4)
    targets, left_out = torch.zeros(3, 7), torch.zeros(3, 7, dtype=torch.bool)
    targets[0, :each] = torch.arange(1, each + 1)
    targets[1, 2 : 2 + each] = 1  # the third query has none
    left_out[0, 5] = left_out[1, 3] = left_out[2, 6] = True  # also a target, where there are several
    assert torch.autograd.gradcheck(lambda *sides: listwise_loss(*sides, targets, left_out), (queries, documents))
    gradient = torch.autograd.grad(listwise_loss(queries, documents, targets, left_out), (queries, documents))
    assert gradient[0][:2].abs().min() > 0
    assert torch.equal(gradient[0][2], torch.zeros(5, dtype=torch.float64))


def loss_of(data, queries, documents, weights):
    """The graded loss of a hand-made batch, and the gradient of the documents' vectors."""
    cosines = torch.tensor([log(weight) / SCALE for weight in weights], dtype=torch.float64)
    held = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1).requires_grad_()
    asked = torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(len(queries), 1)
    label = {"query": torch.tensor(queries), "document": torch.tensor(documents)}
    examples = data.examples("graded")
    settings = Settings.from_flat({"compute": "float32", "codes": ""})
    loss = make_objective(SYSTEMS["graded"], None, examples, (2,), settings).vector_loss(asked, held, label)
    return float(loss.detach()), torch.autograd.grad(loss, held)[0]


@pytest.mark.parametrize(
    ("queries", "documents", "weights", "fraction"),
    [
        pytest.param([HAMMER], [CLAW, HACKSAW, DRILL], [1, 2, 3], 6 / 1, id="low grades are negatives"),
        pytest.param([HAMMER], [CLAW, SHOVEL], [1, 3], 4 / 1, id="so is what nobody judged"),
        pytest.param([HAMMER], [CLAW, HANDLE, HACKSAW], [1, 9, 2], 3 / 1, id="what lies between counts as nothing"),
        pytest.param([HAMMER], [CLAW, HACKSAW, HACKSAW], [1, 2, 9], 3 / 1, id="a negative counts once"),
        pytest.param([HAMMER], [CLAW, CLAW, HACKSAW], [1, 9, 2], 3 / 1, id="so does a relevant document"),
        pytest.param([HAMMER], [CLAW, HACKSAW, -1, -1], [1, 2, 9, 9], 3 / 1, id="what fills up counts as nothing"),
        pytest.param([SAW], [HACKSAW, CLAW, -1], [1, 2, 9], 3 / 1, id="nor as the query before's last document"),
        pytest.param([HAMMER], [LEVEL, CLAW], [3, 1], 4 / 1, id="a withheld judgement is not known"),
    ],
)
def test_masks_of_one_query(data, queries, documents, weights, fraction):
    loss, gradient = loss_of(data, queries, documents, weights)
    assert loss == pytest.approx(log(fraction), rel=1e-12)
    assert [bool(row.any()) for row in gradient] == [weight != 9 for weight in weights]


def test_relevant_documents_share_the_mass_whichever_row_brought_them(data):
    documents, weights = [HACKSAW, BLADES, CLAW, SLEDGE], [1, 2, 3, 4]
    saw = (log(10 / 1) + log(10 / 2)) / 2
    hammer = (log(10 / 3) + log(10 / 4)) / 2
    assert loss_of(data, [SAW], documents, weights)[0] == pytest.approx(saw, rel=1e-12)
    assert loss_of(data, [SAW, HAMMER], documents, weights)[0] == pytest.approx((saw + hammer) / 2, rel=1e-12)


def test_what_is_almost_relevant_is_a_target_in_proportion_to_its_gain(data):
    loss, gradient = loss_of(data, [SAW], [HACKSAW, BATTERY, CLAW], [1, 2, 3])
    assert loss == pytest.approx((2000 * log(6 / 1) + 1500 * log(6 / 2)) / 3500, rel=1e-12)
    slopes = [SCALE * (1 / 6 - 2000 / 3500), SCALE * (2 / 6 - 1500 / 3500), SCALE * 3 / 6]  # of each cosine
    expected = [slope * (1 - (log(weight) / SCALE) ** 2) for slope, weight in zip(slopes, (1, 2, 3), strict=True)]
    assert gradient[:, 0].tolist() == pytest.approx(expected, rel=1e-9)


def test_a_query_without_a_relevant_document_counts_as_nothing(data):
    documents, weights = [CLAW, HACKSAW, BLADES], [1, 2, 3]
    alone = loss_of(data, [HAMMER], documents, weights)
    beside = loss_of(data, [HAMMER, RAKE], documents, weights)
    assert beside[0] == pytest.approx(alone[0], rel=1e-12) == pytest.approx(log(6))
    assert torch.allclose(beside[1], alone[1], rtol=1e-12)
    loss, gradient = loss_of(data, [RAKE, RAKE], documents, weights)
    assert loss == 0.0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("precision", CODECS)
def test_coded_is_what_the_codec_gives_back_with_the_gradient_of_the_identity(precision):
    documents = unit(20, 16, 5).detach().float().requires_grad_()
    held = documents.detach().numpy()
    codec = CODECS[precision](held)
    found = pass_through_codec(documents, precision)
    assert np.allclose(found.detach().numpy(), codec.decode(codec.encode(held)), atol=1e-6)
    assert (precision == FULL) == np.allclose(found.detach().numpy(), held, atol=1e-5)
    direction = unit(20, 16, 6).detach().float()
    (found * direction).sum().backward()
    assert torch.equal(documents.grad, direction)


def cosines(queries, documents, label):
    """A criterion to see what an objective makes of it: the sum of the pairs' products, plus what the label says."""
    return (queries * documents).sum() + label["more"]


LABEL = {"more": torch.tensor(0.25)}


def test_terms_are_weighted_and_take_renormalised_prefixes():
    queries, documents = torch.full((1, 4), 0.5), torch.tensor([[0.5, 0.5, -0.5, 0.5]])
    terms = (Term(VectorFormat(4, FULL), 2.0), Term(VectorFormat(2, FULL), 0.5))
    found = Objective(None, cosines, terms).vector_loss(queries, documents, LABEL)
    assert float(found) == pytest.approx(2.0 * (1 / 2 + 0.25) + 0.5 * (1 + 0.25), rel=1e-6)


def test_a_term_of_a_code_takes_the_prefix_through_its_codec():
    queries, documents = unit(4, 8, 7).detach().float(), unit(4, 8, 8).detach().float()
    asked, held = (side[:, :6].numpy() / np.linalg.norm(side[:, :6].numpy(), axis=1, keepdims=True)
                   for side in (queries, documents))  # fmt: skip
    codec = CODECS["binary"](held)
    expected = 3 * (float((asked * codec.decode(codec.encode(held))).sum()) + 0.25)
    found = Objective(None, cosines, [Term(VectorFormat(6, "binary"), 3.0)]).vector_loss(queries, documents, LABEL)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(3 * (float((asked * held).sum()) + 0.25), rel=1e-2)


@pytest.mark.parametrize("codes", [(), ("int8", "binary")])
def test_distillation_is_counted_once_a_prefix(codes):
    """Full width: cosines .6 and .48; prefix of two: 1 and .6."""
    queries = torch.tensor([[1.0, 0, 0]], requires_grad=True)
    documents = torch.tensor([[0.6, 0, 0.8], [0.48, 0.64, 0.6]], requires_grad=True)
    terms = [Term(VectorFormat(width, precision)) for width in (3, 2) for precision in (FULL, *codes)]
    targets = np.array([exp(20 * 0.6), exp(20 * 0.48)])
    chances = np.array([exp(20 * 1.0), exp(20 * 0.6)])
    divergence = -(targets / targets.sum() * np.log(chances / chances.sum())).sum()
    loss = Objective(None, lambda *_: torch.zeros(()), terms, distil=0.3).vector_loss(queries, documents, LABEL)
    assert float(loss.detach()) == pytest.approx(0.3 * divergence, rel=1e-5)
    loss.backward()
    assert documents.grad[:, :2].any()
    assert not documents.grad[:, 2].any()  # the full width is the teacher


def test_without_weights_the_widths_count_alike_but_for_graded(data):
    settings = Settings.from_flat({"compute": "float32", "codes": ""})
    for system, rows in (("matryoshka", "mnr"), ("graded", "graded")):
        found = make_objective(SYSTEMS[system], None, data.examples(rows), WIDTHS, settings)
        fade = SYSTEMS[system].fade
        weights = {384: 1.0, 96: fade, 48: fade**2}
        assert found.terms == tuple(Term(VectorFormat(width, FULL), weight) for width, weight in weights.items())
    assert SYSTEMS["matryoshka"].fade == 1.0 > SYSTEMS["graded"].fade


def test_graded_splits_each_weight_between_the_numbers_as_they_are_and_the_codes(data):
    options = {"codes": "binary,int2", "code_share": 0.5, "dimension_weights": "1,2", "distil": 0.1}
    settings = Settings.from_flat({**options, "compute": "float32"})
    found = make_objective(SYSTEMS["graded"], None, data.examples("graded"), (384, 48), settings)
    assert {(term.format.name, term.weight) for term in found.terms} == {
        ("384.float32", 0.5), ("384.binary", 0.25), ("384.int2", 0.25),
        ("48.float32", 1.0), ("48.binary", 0.5), ("48.int2", 0.5),
    }  # fmt: skip
    assert found.terms[0].format == VectorFormat(384, FULL)  # the full width first
    assert len(found.terms) == 6
    assert found.distil == 0.1
    other = make_objective(SYSTEMS["matryoshka"], None, data.examples("mnr"), (384, 48), settings)
    assert other.terms == (Term(VectorFormat(384, FULL), 1.0), Term(VectorFormat(48, FULL), 2.0))
    assert other.distil == 0.0
