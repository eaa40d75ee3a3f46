"""Batches of tokens, against the model's own tokenizer."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.errors import InputError
from nestvec.models.token_batches import load_tokenizer, make_reader, plan_batches

TEXTS = ["deck screw 3 in", "a", "Écrou M8 inox \U0001f529", "word " * 400, "deck screw 3 in", "wall paint white 10 l"]


def test_batches_hold_every_row_once_and_keep_to_their_tokens():
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    batches = list(plan_batches(lengths, 1000))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(lengths[rows].max() * len(rows) <= 1000 for rows in batches)
    assert [lengths[rows].max() for rows in batches] == sorted((lengths[rows].max() for rows in batches), reverse=True)
    filled = [lengths[rows].max() * (len(rows) + 1) > 1000 for rows in batches[:-1]]
    assert all(filled)  # one more text would have been too many


def test_a_text_beyond_the_budget_goes_alone():
    assert [rows.tolist() for rows in plan_batches(np.array([3, 50, 4]), 10)] == [[1], [2, 0]]


def test_no_text_makes_no_batch():
    assert list(plan_batches(np.array([], dtype=np.int64), 10)) == []


@pytest.mark.parametrize("name", ["minilm", "mpnet"])
def test_a_batch_is_what_the_models_own_tokenizer_makes_of_its_texts(models, name):
    model = models[name]
    wanted = model.preprocess(["x"])
    reader = make_reader(model, [key for key, value in wanted.items() if hasattr(value, "shape")])
    seen = []
    for batch in reader.make_batches(TEXTS, 64):
        theirs = model.preprocess([TEXTS[row] for row in batch.rows])
        assert set(batch.inputs) <= set(theirs)
        for key, values in batch.inputs.items():
            assert np.array_equal(values, theirs[key].numpy()), key
        seen += batch.rows.tolist()
    assert sorted(seen) == list(range(len(TEXTS)))


def test_the_models_own_tokenizer_keeps_its_settings(models):
    model = models["minilm"]
    before = model.tokenizer.backend_tokenizer.to_str()
    make_reader(model, ("input_ids", "attention_mask"))
    assert model.tokenizer.backend_tokenizer.to_str() == before


def test_a_model_that_wants_other_inputs_has_no_reader(models):
    assert make_reader(models["minilm"], ("input_ids", "attention_mask", "position_ids")) is None
    assert make_reader(models["minilm"], ("pixel_values",)) is None


def test_a_damaged_tokenizer_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot be read"):
        load_tokenizer(path, 10)
