"""Training behind prompts. Oracle: sentence-transformers' losses on texts that it put the prompts before."""

from __future__ import annotations

import pytest
import torch
from judged import by_hand
from prompted import exclude_prompts, save_prompted
from sentence_transformers.sentence_transformer.losses import CoSENTLoss, MultipleNegativesRankingLoss
from test_losses import distinct, features, value_and_gradient

from nestvec.models.find import find_model
from nestvec.models.load import load_model
from nestvec.models.prompts import DOCUMENT, QUERY, model_prompts
from nestvec.settings import Settings
from nestvec.training.collator import Collator
from nestvec.training.systems import SYSTEMS, make_objective
from nestvec.training.token_passes import tokenise_texts


@pytest.fixture(scope="module", params=["prompts", "prompts that pooling leaves out"])
def model(request, tmp_path_factory):
    """A prompted model without dropout; gradients are taken of one weight matrix only."""
    folder = save_prompted(tmp_path_factory.mktemp("prompted") / "model")
    folder = exclude_prompts(folder) if "leaves" in request.param else folder
    found = load_model(find_model(str(folder))).eval().requires_grad_(False)
    found.get_parameter("0.auto_model.encoder.layer.0.output.dense.weight").requires_grad_()
    return found


@pytest.mark.parametrize(("system", "stock"), [("mnr", MultipleNegativesRankingLoss), ("cosent", CoSENTLoss)])
def test_the_loss_and_its_gradient_are_the_librarys(system, stock, model):
    data, settings = by_hand(), Settings.from_flat({"compute": "float32"})
    examples = data.examples(system)
    rows = distinct(examples)
    batch = Collator(examples, tokenise_texts(model, data.texts.queries, data.texts.documents))(
        [{"row": row} for row in rows]
    )
    objective = make_objective(SYSTEMS[system], model, examples, (48,), settings)
    ours = value_and_gradient(model, objective, *features(batch))
    sides = {
        QUERY: [data.texts.queries[row] for row in examples.query[rows]],
        DOCUMENT: [data.texts.documents[examples.members[row][0]] for row in rows],
    }
    given = [model.preprocess(texts, prompt=model_prompts(model).of(role), task=role) for role, texts in sides.items()]
    gains = [examples.judgements.gains(examples.query[[row]], [[examples.members[row][0]]])[0, 0] for row in rows]
    label = torch.tensor(gains, dtype=torch.float32) / examples.highest
    theirs = value_and_gradient(model, stock(model), given, label)
    assert len(rows) >= 5 and theirs[0] > 0.01
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert torch.allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-6)
    bare = value_and_gradient(model, stock(model), [model.preprocess(texts) for texts in sides.values()], label)
    assert abs(bare[0] - theirs[0]) > 1e-4  # the prompts matter
