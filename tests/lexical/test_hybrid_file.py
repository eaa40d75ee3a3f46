"""Oracle: what was written is what is read, byte for byte and value for value; every value damaged on purpose."""

from __future__ import annotations

import json

import pytest

from nestvec.errors import InputError
from nestvec.lexical.bm25 import LexicalSettings
from nestvec.lexical.fusion import Fusion
from nestvec.lexical.hybrid_file import Hybrid, read_hybrid, write_hybrid
from nestvec.lexical.words import WordForms

HYBRID = Hybrid(LexicalSettings(WordForms("german", False, True), 0.3, 0.6, True), Fusion(0.45, "range", 20), 7, 3.5)


def test_what_was_written_is_read(tmp_path):
    for hybrid in (Hybrid(), HYBRID):
        write_hybrid(tmp_path / "hybrid.json", hybrid)
        assert read_hybrid(tmp_path / "hybrid.json") == hybrid


@pytest.mark.parametrize(
    ("key", "value"),
    [("schema", 2), ("tokenisation", []), ("k1", -1), ("k1", "1"), ("b", 1.5), ("weight", True), ("weight", 1.01),
     ("normalisation", "z"), ("constant", 1.5), ("constant", True), ("correction", 1), ("documents", None)],
)  # fmt: skip
def test_a_damaged_value_is_named_with_its_file(tmp_path, key, value):
    path = tmp_path / "hybrid.json"
    path.write_text(json.dumps(HYBRID.to_json() | {key: value}))
    with pytest.raises(InputError, match=f"hybrid.json: (has )?{key}"):
        read_hybrid(path)


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_what_is_no_object_is_refused(tmp_path, content):
    (tmp_path / "hybrid.json").write_text(content)
    with pytest.raises(InputError, match=r"hybrid\.json"):
        read_hybrid(tmp_path / "hybrid.json")


def test_an_unknown_language_is_refused(tmp_path):
    path = tmp_path / "hybrid.json"
    path.write_text(
        json.dumps(HYBRID.to_json() | {"tokenisation": {"language": "x", "stem": True, "stop_words": False}})
    )
    with pytest.raises(InputError, match="language is 'x'"):
        read_hybrid(path)
