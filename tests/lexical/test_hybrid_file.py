"""Oracle: what was written is what is read, byte for byte and value for value; every value damaged on purpose."""

from __future__ import annotations

import json

import pytest

from nestvec.errors import InputError
from nestvec.lexical.bm25 import LexicalSettings
from nestvec.lexical.corrections import RULES as USUAL
from nestvec.lexical.corrections import CorrectionRules
from nestvec.lexical.fusion import Fusion
from nestvec.lexical.hybrid_file import Hybrid, read_hybrid, write_hybrid
from nestvec.lexical.words import WordForms

RULES = CorrectionRules(3, 5, 8, 2, 9)
HYBRID = Hybrid(LexicalSettings(WordForms("german", False, True), 0.3, 0.6, RULES), Fusion(0.45, "range", 20), 7, 3.5)


def test_what_was_written_is_read(tmp_path):
    for hybrid in (Hybrid(), HYBRID):
        write_hybrid(tmp_path / "hybrid.json", hybrid)
        assert read_hybrid(tmp_path / "hybrid.json") == hybrid


@pytest.mark.parametrize(
    ("key", "value"),
    [("schema", 2), ("tokenisation", []), ("k1", -1), ("k1", "1"), ("b", 1.5), ("weight", True), ("weight", 1.01),
     ("normalisation", "z"), ("constant", 1.5), ("constant", True), ("correction", 1), ("correction", None),
     ("correction", {"documents": 2}), ("correction", dict.fromkeys(vars(RULES), 0)), ("documents", None),
     ("correction", {**vars(RULES), "letters": True}), ("correction", {**vars(RULES), "more": 1})],
)  # fmt: skip
def test_a_damaged_value_is_named_with_its_file(tmp_path, key, value):
    path = tmp_path / "hybrid.json"
    path.write_text(json.dumps(HYBRID.to_json() | {key: value}))
    with pytest.raises(InputError, match=f"hybrid.json: (has )?{key}"):
        read_hybrid(path)


def test_correction_is_the_rules_or_false(tmp_path):
    path = tmp_path / "hybrid.json"
    assert HYBRID.to_json()["correction"] == {
        "documents": 3, "letters": 5, "letters_for_two_edits": 8, "part_letters": 2, "common_per_million": 9
    }  # fmt: skip
    for value, rules in ((False, None), (True, USUAL)):
        path.write_text(json.dumps(HYBRID.to_json() | {"correction": value}))
        assert read_hybrid(path).lexical.correction == rules
    assert Hybrid().to_json()["correction"] is False


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
