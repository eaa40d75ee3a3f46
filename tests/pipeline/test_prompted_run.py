"""A run with a model that wants prompts. Oracle: `encode_query` and `encode_document` of sentence-transformers.

Queries are behind the query prompt and documents behind the document prompt wherever texts are encoded: what is
measured, what is trained, what an index, an export and a file of vectors hold, and what a server answers.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib

import numpy as np
import pyarrow.parquet as pq
import pytest
from prompted import DOCUMENT_PROMPT, QUERY_PROMPT, WIDTH, save_prompted, state_prompts
from sentence_transformers import SentenceTransformer
from shared_runs import copy_run, make_once
from tables import rows, write_csv

import nestvec
from nestvec.encoding.embeddings_file import read_encoded
from nestvec.encoding.encode_file import encode
from nestvec.errors import InputError, NestvecError
from nestvec.exporting.export_model import export
from nestvec.indexing.index import build_index
from nestvec.indexing.index_settings import Columns
from nestvec.models.export_card import read_card
from nestvec.models.prompts import DOCUMENT, QUERY, Prompts
from nestvec.runs.point_files import select
from nestvec.runs.run import load_run
from nestvec.serving.service import Service

OWN = Prompts(QUERY_PROMPT, DOCUMENT_PROMPT)
OPTIONS = {
    "systems": "mnr", "epochs": 1, "batch_size": 16, "resamples": 100, "test": 0.3, "validation": 0.2, "seed": 7,
    "precisions": "int8", "dimensions": "24", "bigger": "", "compute": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a prompted model, a table, and a finished run of both: trained once, and measured."""

    def make(folder):
        source, model = write_csv(folder / "judged.csv", rows(queries=60)), save_prompted(folder / "model")
        nestvec.run(str(source), folder / "run", model=str(model), **OPTIONS)

    return make_once(tmp_path_factory, "prompted", make)


@pytest.fixture(scope="module")
def run(world):
    return load_run(world / "run")


def library(folder, role, texts):
    model = SentenceTransformer(str(folder), device="cpu")
    encode_role = model.encode_query if role == QUERY else model.encode_document
    return encode_role(list(texts), normalize_embeddings=True, show_progress_bar=False)


def least_cosine(found, wanted):
    assert found.shape == wanted.shape
    return (found * wanted).sum(axis=1).min()


def test_what_is_measured_is_what_encode_query_and_encode_document_give(world, run):
    for system, model in (("pretrained", world / "model"), ("mnr", world / "run" / "models" / "mnr")):
        vectors = np.load(world / "run" / "embeddings" / f"{system}.npy")
        asked = len(run.queries.texts)
        assert least_cosine(vectors[:asked], library(model, QUERY, run.queries.texts)) >= 0.99999
        assert least_cosine(vectors[asked:], library(model, DOCUMENT, run.catalogue.texts)) >= 0.99999
        assert least_cosine(vectors[:asked], library(model, DOCUMENT, run.queries.texts)) < 0.999  # it matters


def test_a_run_says_its_prompts_everywhere(world, run):
    results = json.loads((world / "run" / "results.json").read_text())
    stated = {"query": QUERY_PROMPT, "document": DOCUMENT_PROMPT}
    assert results["prompts"] == {"pretrained": stated, "mnr": stated}
    assert run.results["prompts"]["mnr"]["query"] == QUERY_PROMPT
    config = tomllib.loads((world / "run" / "config.toml").read_text())
    assert (config["query_prompt"], config["document_prompt"]) == (QUERY_PROMPT, DOCUMENT_PROMPT)
    card = json.loads((world / "run" / "models" / "mnr" / "nestvec.json").read_text())
    assert (card["query_prompt"], card["document_prompt"]) == (QUERY_PROMPT, DOCUMENT_PROMPT)
    page = (world / "run" / "report.html").read_text()
    assert QUERY_PROMPT.strip() in page and DOCUMENT_PROMPT.strip() in page


def test_a_model_without_prompts_says_so(two_models):
    results = json.loads((two_models / "results.json").read_text())
    assert set(map(str, results["prompts"].values())) == {str({"query": "", "document": ""})}
    assert "query_prompt" not in tomllib.loads((two_models / "config.toml").read_text())
    assert "goes before every" not in (two_models / "report.html").read_text()


def test_training_learns_behind_the_prompts(world, tmp_path):
    """Without its prompts the same recipe ends at other weights, so they were there in training."""
    made = nestvec.run(
        str(world / "judged.csv"), tmp_path / "run", model=str(world / "model"), query_prompt="", document_prompt="",
        **OPTIONS,
    )  # fmt: skip
    assert made.results.prompts["mnr"] == Prompts()
    weights = [(folder / "models" / "mnr" / "model.safetensors").read_bytes() for folder in (world / "run", made.root)]
    assert weights[0] != weights[1]
    bare = library(made.root / "models" / "mnr", QUERY, made.queries.texts)
    assert least_cosine(made.vectors("mnr", WIDTH)[: len(bare)], bare) >= 0.99999


def test_given_prompts_override_the_models_and_are_saved_with_what_is_trained(world, tmp_path):
    bare = state_prompts(shutil.copytree(world / "model", tmp_path / "bare"), {})
    given = {"query_prompt": "frage: ", "document_prompt": "text: "}
    made = nestvec.run(str(world / "judged.csv"), tmp_path / "run", model=str(bare), **given, **OPTIONS)
    assert made.results.prompts["pretrained"] == made.results.prompts["mnr"] == Prompts("frage: ", "text: ")
    texts = made.queries.texts
    trained = made.root / "models" / "mnr"
    assert least_cosine(np.array(made.vectors("mnr", WIDTH)[: len(texts)]), library(trained, QUERY, texts)) >= 0.99999
    plain = library(bare, QUERY, [f"frage: {text}" for text in texts])
    assert least_cosine(np.array(made.vectors("pretrained", WIDTH)[: len(texts)]), plain) >= 0.99999
    chosen = export(made.root, tmp_path / "out", system="pretrained", dimension=24, precision="int8")
    assert chosen.card.prompts == Prompts("frage: ", "text: ")  # though the model's own folder states none
    assert chosen.parity.cosine_least >= 0.9999


@pytest.mark.parametrize("change", ["given", "in the model"])
def test_a_run_of_other_prompts_is_not_continued(change, world, tmp_path):
    copied = copy_run(world / "run", tmp_path / "run")
    model = shutil.copytree(world / "model", tmp_path / "model")
    again = nestvec.run(str(world / "judged.csv"), copied, model=str(model), **OPTIONS)
    assert again.results.prompts["mnr"] == OWN  # the same are
    other = {"query_prompt": "other: "} if change == "given" else {}
    if not other:
        state_prompts(model, {"query": "other: ", "document": DOCUMENT_PROMPT})
    with pytest.raises(InputError, match=r"other settings: query_prompt was ask me: , now other: "):
        nestvec.run(str(world / "judged.csv"), copied, model=str(model), **OPTIONS, **other)


def test_another_models_prompts_are_its_own_and_count_too(world, tmp_path):
    other = state_prompts(shutil.copytree(world / "model", tmp_path / "other"), {"query": "q: "})
    options = {**OPTIONS, "epochs": 0, "models": [str(other)]}
    given = {"query_prompt": "frage: ", "document_prompt": ""}
    made = nestvec.run(str(world / "judged.csv"), tmp_path / "run", model=str(world / "model"), **given, **options)
    assert made.results.prompts == {"pretrained": Prompts("frage: "), "other": Prompts("q: ")}  # the weights are alike
    texts = made.queries.texts
    assert least_cosine(np.array(made.vectors("other", WIDTH)[: len(texts)]), library(other, QUERY, texts)) >= 0.99999
    state_prompts(other, {"query": "r: "})
    with pytest.raises(InputError, match="prompts of other's sha256 was"):
        nestvec.run(str(world / "judged.csv"), made.root, model=str(world / "model"), **given, **options)


def snippet(folder):
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return code.group(1).replace("PATH", str(folder))


@pytest.mark.parametrize("to", ["sentence-transformers", "onnx", "openvino"])
def test_an_export_carries_both_prompts_and_its_readme_applies_them(to, world, run, tmp_path):
    made = export(world / "run", tmp_path / "out", to, system="mnr", dimension=24, precision="int8")
    assert read_card(made.folder).prompts == OWN
    assert made.parity.cosine_least >= 0.9999
    scope: dict = {}
    exec(snippet(made.folder), scope)
    chosen = select(run, "mnr", 24, "int8")
    for name, texts, vectors in (
        ("encode_query", run.queries.texts[:20], chosen.query_vectors[:20, :24]),
        ("encode_document", run.catalogue.texts[:20], chosen.document_vectors[:20, :24]),
    ):
        wanted = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        assert least_cosine(np.concatenate([scope[name](texts[:7]), scope[name](texts[7:])]), wanted) >= 0.9999
    readme = (made.folder / "README.md").read_text(encoding="utf-8")
    assert json.dumps(QUERY_PROMPT) in readme and "without a prompt" not in readme


@pytest.mark.parametrize("to", ["sentence-transformers", "onnx"])
@pytest.mark.parametrize("wrong", [{"query": "other: "}, {"document": ""}])
def test_a_wrong_prompt_fails_the_parity_check(to, wrong, world, tmp_path):
    """The file of a run that states no hashes is made to say another prompt than was measured, for one role only."""
    copied = copy_run(world / "run", tmp_path / "run")
    path = copied / "results.json"
    results = json.loads(path.read_text())
    del results["measured_with"]
    results["prompts"]["mnr"] |= wrong
    path.write_text(json.dumps(results))
    with pytest.raises(NestvecError, match=r"least cosine is .*, below 0\.9999.*Nothing was written"):
        export(copied, tmp_path / "out", to, system="mnr", dimension=24, precision="int8")
    assert not (tmp_path / "out").exists()


def test_a_card_with_one_prompt_for_all_texts_is_read(world, tmp_path):
    made = export(world / "run", tmp_path / "out", "onnx", system="mnr", dimension=24, precision="int8")
    path = made.folder / "nestvec.json"
    card = json.loads(path.read_text())
    del card["query_prompt"], card["document_prompt"], card["card_sha256"]
    path.write_text(json.dumps({**card, "prompt": "old: "}))
    assert read_card(made.folder).prompts == Prompts("old: ", "old: ")


@pytest.mark.parametrize("given", [{}, {"role": "query"}, {"prompt": "p: "}, {"role": "query", "prompt": ""}])
def test_a_file_is_encoded_as_documents_or_as_queries(given, world, run, tmp_path):
    source = tmp_path / "texts.txt"
    texts = list(run.catalogue.texts[:30])
    source.write_text("\n".join(texts) + "\n")
    role = given.get("role", DOCUMENT)
    prompt = given.get("prompt", OWN.of(role))
    wanted = library(
        state_prompts(shutil.copytree(world / "model", tmp_path / "m"), {}), role, [prompt + t for t in texts]
    )
    places = [world / "model", export(world / "run", tmp_path / "e", "onnx", system="pretrained", dimension=48).folder]
    for number, model in enumerate(places):
        made = encode(str(model), str(source), tmp_path / f"{number}.parquet", precision="float32", **given)
        assert (
            least_cosine(np.concatenate([codes for _, codes in read_encoded(made.out).batches(99)]), wanted) >= 0.9999
        )
    kept = json.loads(pq.read_schema(tmp_path / "0.parquet").metadata[b"nestvec"])
    assert (kept.get("role", "document"), kept.get("prompt", "")) == (role, prompt)


def test_an_encoding_of_another_role_is_not_continued(world, tmp_path):
    source = tmp_path / "texts.txt"
    source.write_text("hammer\nsaw\n")
    encode(str(world / "model"), str(source), tmp_path / "out.parquet", role="query")
    with pytest.raises(InputError, match="--role is 'passage'; expected one of query, document"):
        encode(str(world / "model"), str(source), tmp_path / "out.parquet", role="passage")


def test_an_index_holds_documents_and_is_asked_queries(world, run, tmp_path):
    copied = copy_run(world / "run", tmp_path / "run")
    table = write_csv(tmp_path / "docs.csv", [{"id": f"n{row}", "text": f"saw of size {row}"} for row in range(20)])
    model = copied / "models" / "mnr"
    with build_index(
        copied, system="mnr", dimension=48, precision="float32", documents=table, columns=Columns("text", "id", None)
    ) as index:
        hit = index.search("saw size 3", 1, mode="vectors")[0]
        sides = library(model, QUERY, ["saw size 3"]), library(model, DOCUMENT, [hit.text])
        assert hit.score == pytest.approx(float((sides[0] @ sides[1].T).item()), abs=1e-5)


def test_a_server_encodes_by_role(world, run):
    service = Service.open(world / "run")
    try:
        assert service.prompts("mnr") == OWN
        model = world / "run" / "models" / "mnr"
        for role in (QUERY, DOCUMENT):
            found = service.encode("mnr", ["never asked before"], role)
            assert least_cosine(found, library(model, role, ["never asked before"])) >= 0.9999
        text = run.queries.texts[0]
        assert least_cosine(service.find_vector("mnr", text)[None], library(model, QUERY, [text])) >= 0.9999
    finally:
        service.close()


def test_prompts_that_are_not_applied_or_lacking_are_a_finding(world, tmp_path):
    named = state_prompts(shutil.copytree(world / "model", tmp_path / "tiny-e5-base"), {"passage": "passage: "})
    options = {**OPTIONS, "epochs": 0}
    made = nestvec.run(str(world / "judged.csv"), tmp_path / "unused", model=str(named), **options)
    found = {finding.name: finding for finding in made.findings}
    assert found["prompts of a model that are not applied"].examples == (f'{named}: passage = "passage: "',)
    state_prompts(named, {})
    made = nestvec.run(str(world / "judged.csv"), tmp_path / "lacking", model=str(named), **options)
    found = {finding.name: finding for finding in made.findings}
    wanted = f'{named}: --query-prompt "query: " --document-prompt "passage: "'
    assert found["models that may lack their prompts"].examples == (wanted,)
    given = {"query_prompt": "query: ", "document_prompt": "passage: "}
    made = nestvec.run(str(world / "judged.csv"), tmp_path / "given", model=str(named), **options, **given)
    assert not [finding.name for finding in made.findings if "prompts" in finding.name]


def test_a_run_of_before_prompts_were_written_had_the_default_prompt_before_all_texts(world, tmp_path):
    """Made as an old nestvec made it: the default prompt before every text, and no word of it in the results."""
    model = state_prompts(shutil.copytree(world / "model", tmp_path / "model"), {"store": "item: "}, "store")
    given = {"query_prompt": "item: ", "document_prompt": "item: "}
    made = nestvec.run(
        str(world / "judged.csv"), tmp_path / "run", model=str(model), **given, **{**OPTIONS, "epochs": 0}
    )
    path = made.root / "results.json"
    results = json.loads(path.read_text())
    del results["prompts"]
    path.write_text(json.dumps(results))
    old = export(made.root, tmp_path / "out", system="pretrained", dimension=24, precision="int8")
    assert old.card.prompts == Prompts("item: ", "item: ") and old.parity.cosine_least >= 0.9999
    plain = SentenceTransformer(str(old.folder), device="cpu")
    assert plain.default_prompt_name == "store"  # so that plain `encode` gives what was measured, as it did


def test_prompts_are_typed_and_set_in_a_file(world, tmp_path, typed):
    words = [
        "check",
        world / "judged.csv",
        "--model",
        world / "model",
        "--query-prompt",
        "",
        "--document-prompt",
        "x: ",
    ]
    assert typed(*words)[0] == 0
    config = tmp_path / "config.toml"
    config.write_text(f'model = "{world / "model"}"\nquery_prompt = ""\nepochs = 0\n')
    code, _, _ = typed(
        "evaluate", world / "model", "--data", world / "judged.csv", "--out", tmp_path / "run", "--config", config,
        "--resamples", 100, "--precisions", "int8", "--dimensions", "24", "--bigger", "",
    )  # fmt: skip
    assert code == 0
    made = load_run(tmp_path / "run")
    assert made.results.prompts == {"pretrained": Prompts("", DOCUMENT_PROMPT), "model": OWN}
