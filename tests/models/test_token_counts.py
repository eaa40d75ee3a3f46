"""Oracle: what sentence-transformers itself reads of a model's folder."""

from __future__ import annotations

import pytest

from nestvec.errors import InputError
from nestvec.models.find import find_model
from nestvec.models.load import load_model, save_model
from nestvec.models.token_counts import count_tokens


def test_the_limit_of_a_model_saved_by_us(tmp_path, minilm, minilm_folder):
    """sentence-transformers no longer writes the limit where the original model has it."""
    save_model(minilm, tmp_path / "saved", {})
    again = load_model(find_model(str(tmp_path / "saved")))
    assert count_tokens(tmp_path / "saved", ["one two"])[1] == again.max_seq_length == 256
    assert count_tokens(minilm_folder.path, ["one two"])[0].tolist() == [4]


def test_a_model_without_a_whole_tokenizer(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        count_tokens(tmp_path, ["a"])
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer\.json: is damaged"):
        count_tokens(tmp_path, ["a"])
