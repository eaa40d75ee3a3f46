"""A file of texts to a file of vectors, against `SentenceTransformer.encode` of every row on its own terms."""

from __future__ import annotations

import shutil
from typing import get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from full_disk import full_from
from products import Told
from sentence_transformers import SentenceTransformer

from nestvec.encoding import embeddings_file, encode_file
from nestvec.encoding.encode_settings import EncodeOptions, EncodeSettings
from nestvec.errors import InputError, NestvecError
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.cut import prefix
from nestvec.vectors.stored import save_codecs


@pytest.fixture(scope="module")
def library(tiny):
    return SentenceTransformer(str(tiny))


def full(library, texts):
    return library.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def cosines(a, b):
    return (a.astype(float) * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_rows_come_back_in_order_each_with_its_own_vector(table, encode_tiny, library, tmp_path):
    path, rows = table
    made = encode_tiny(str(path), tmp_path / "out.parquet", shard=50)
    found = embeddings_file.read_encoded(made.out)
    assert found.ids == [name for name, _ in rows]
    assert found.vectors().shape == (240, 768)
    assert cosines(found.vectors(), full(library, [text for _, text in rows])).min() >= 0.9999
    assert (made.rows, made.texts, made.resumed) == (240, len({text for _, text in rows}), 0)
    assert made.texts < 200  # there were repeats
    assert found.about["texts"] == made.texts
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.parquet", "products.csv"]


def test_every_text_is_encoded_once_whatever_the_shards(table, encode_tiny, tmp_path, monkeypatch):
    from nestvec.models.torch_encoder import TorchEncoder

    seen: list[str] = []
    real = TorchEncoder.encode

    def noted(self, texts, *rest):
        seen.extend(texts)
        return real(self, texts, *rest)

    monkeypatch.setattr(TorchEncoder, "encode", noted)
    path, rows = table
    encode_tiny(str(path), tmp_path / "out.parquet", shard=30, precision="int8")
    probes = len(seen) - len({text for _, text in rows})
    assert sorted(seen[probes:]) == sorted({text for _, text in rows})


def test_the_size_of_a_shard_changes_no_vector_beyond_rounding(table, encode_tiny, tmp_path):
    path, _ = table
    parts = [
        embeddings_file.read_encoded(encode_tiny(str(path), tmp_path / f"{n}.parquet", shard=n).out)
        for n in (1, 40, 9999)
    ]
    for part in parts[1:]:
        assert part.vectors() == pytest.approx(parts[0].vectors(), abs=1e-5)


@pytest.mark.parametrize("precision", list(CODECS))
def test_every_precision_decodes_to_near_the_vectors(table, encode_tiny, library, tmp_path, precision):
    path, rows = table
    made = encode_tiny(str(path), tmp_path / "out.parquet", precision=precision, dimension=48)
    found = embeddings_file.read_encoded(made.out)
    wanted = prefix(full(library, [text for _, text in rows]), 48)
    least = {"int4": 0.95, "int2": 0.8, "binary": 0.6}.get(precision, 0.999)
    assert cosines(found.vectors(), wanted).min() >= least
    assert found.codes().nbytes == 240 * made.bytes_per_vector == 240 * found.codec.bytes_per_vector
    batches = list(found.batches(100))
    assert [len(ids) for ids, _ in batches] == [100, 100, 40]
    assert np.array_equal(np.concatenate([codes for _, codes in batches]), found.codes())


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_codes_of_a_models_own_codec_are_those_it_would_give_the_vectors(table, tiny, library, tmp_path, precision):
    path, rows = table
    copy = tmp_path / "trained"
    shutil.copytree(tiny, copy)
    corpus = prefix(full(library, [f"{text} box" for _, text in rows]), 48)
    codec = CODECS[precision](corpus)
    save_codecs(copy / "codecs.safetensors", {f"48.{precision}": codec})
    made = encode_file.encode(
        str(copy), str(path), tmp_path / "out.parquet",
        dimension=48, precision=precision, backend="torch", compute="float32",
    )  # fmt: skip
    plain = encode_file.encode(
        str(copy), str(path), tmp_path / "plain.parquet", dimension=48, backend="torch", compute="float32"
    )
    vectors = embeddings_file.read_encoded(plain.out).vectors()
    assert np.array_equal(embeddings_file.read_encoded(made.out).codes(), codec.encode(vectors))
    assert made.codec == "model"


def test_a_plain_model_gets_a_codec_of_the_texts_and_the_file_says_so(table, encode_tiny, tmp_path):
    path, _ = table
    made = encode_tiny(str(path), tmp_path / "out.parquet", precision="int8", shard=40)
    assert (
        made.codec
        == embeddings_file.read_encoded(made.out).about["codec_of"]
        == "the texts of the first shard, a random sample"
    )
    wide = embeddings_file.read_encoded(encode_tiny(str(path), tmp_path / "wide.parquet").out)
    assert wide.about["codec_of"] == "none needed"


def test_the_same_call_gives_the_same_bytes(table, encode_tiny, tmp_path):
    path, _ = table
    made = [encode_tiny(str(path), tmp_path / f"{n}.parquet", precision="int4", shard=40).out for n in range(2)]
    assert made[0].read_bytes() == made[1].read_bytes()


def test_any_parquet_reader_finds_ids_and_embeddings(table, encode_tiny, tmp_path):
    path, _ = table
    wanted = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8(), "binary": None}
    for precision, kind in wanted.items():
        schema = pq.read_schema(encode_tiny(str(path), tmp_path / "out.parquet", precision=precision, dimension=16).out)
        form = schema.field("embedding").type
        assert schema.names == ["id", "embedding"]
        assert form == (pa.binary(4) if kind is None else pa.list_(pa.field("item", kind, False), 16))


def test_progress_counts_rows_and_ends_at_all_of_them(table, encode_tiny, tmp_path):
    path, _ = table
    for precision in ("float32", "int8"):  # the second fits a codec on the way
        told = Told()
        encode_tiny(str(path), tmp_path / "out.parquet", shard=40, precision=precision, reporter=told)
        label, total, done = told.steps[0]
        assert (label, total, sum(done)) == ("encode with torch float32", 240, 240)
        assert told.lines[0].startswith("240 texts in ")


def test_a_full_disk_is_one_message_and_the_same_call_goes_on(table, encode_tiny, tmp_path):
    path, _ = table
    whole = encode_tiny(str(path), tmp_path / "whole.parquet", shard=40).out
    out = tmp_path / "out.parquet"
    for size in (1_000, 60_000, 300_000):  # of the texts, of a shard, of what is joined
        with (
            full_from(size),
            pytest.raises(NestvecError, match=r"cannot be written \(File too large\); finished work") as no,
        ):
            encode_tiny(str(path), out, shard=40)
        assert "\n" not in str(no.value)
        assert not out.exists()
    encode_tiny(str(path), out, shard=40)
    assert out.read_bytes() == whole.read_bytes()


def test_work_begun_with_other_settings_is_refused(table, encode_tiny, tmp_path):
    path, rows = table
    out = tmp_path / "out.parquet"
    with full_from(60_000), pytest.raises(NestvecError):
        encode_tiny(str(path), out, shard=40)
    with pytest.raises(InputError, match=r"begun with other settings: precision was float32, now int8"):
        encode_tiny(str(path), out, shard=40, precision="int8")
    with pytest.raises(InputError, match=r"dimension was 768, now 48"):
        encode_tiny(str(path), out, shard=40, dimension=48)
    write_again = [*rows[1:], rows[0]]
    path.write_text("sku,text\n" + "\n".join(map(",".join, write_again)) + "\n")
    with pytest.raises(InputError, match=r"source_sha256 was .*; expected the same input, model and settings"):
        encode_tiny(str(path), out, shard=40)


def test_a_damaged_shard_is_named(table, encode_tiny, tmp_path):
    path, _ = table
    out = tmp_path / "out.parquet"
    with full_from(300_000), pytest.raises(NestvecError):  # all shards, but no room to join them
        encode_tiny(str(path), out, shard=40)
    shard = sorted((tmp_path / ".out.parquet.work" / "shards").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"{shard.name}: is damaged"):
        encode_tiny(str(path), out, shard=40)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "int3"}, "--precision is 'int3'"),
        ({"engine": "spark"}, "--engine is 'spark'"),
        ({"shard": 0}, "--shard is 0; expected at least 1"),
        ({"dimensions": 48}, r"encode\(\): unknown setting 'dimensions'; expected one of .*; did you mean 'dimension'"),
        ({"dimension": 769}, "makes no vectors of dimension 769; expected a number from 1 to 768"),
    ],
)
def test_settings_that_cannot_be_are_refused(table, encode_tiny, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        encode_tiny(str(table[0]), tmp_path / "out.parquet", **given)


def test_keyword_arguments_are_the_fields_of_the_settings():
    assert get_type_hints(EncodeOptions) == get_type_hints(EncodeSettings)


def test_the_input_is_not_overwritten(table, encode_tiny, tmp_path):
    path, _ = table
    with pytest.raises(InputError, match="is the input itself"):
        encode_tiny(str(path), path)
    with pytest.raises(InputError, match="is a folder"):
        encode_tiny(str(path), tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "cannot be read"),
        (lambda path: pq.write_table(pa.table({"id": ["a"], "embedding": [[1.0]]}), path), "does not say how"),
        (lambda path: pq.write_table(_marked(path, b'{"schema": 2, "codec": ""}'), path), "has schema 2"),
        (lambda path: pq.write_table(_marked(path, b'{"schema": 1, "codec": "AAAA"}'), path), "is damaged: its codec"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: pq.write_table(pq.read_table(path).drop(["id"]), path), "its columns are not `id`"),
        (lambda path: pq.write_table(_with_codes(path, pa.list_(pa.int8())), path), "its columns are not `id`"),
        (lambda path: pq.write_table(_with_codes(path, pa.list_(pa.int16(), 8)), path), "its columns are not `id`"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(table, encode_tiny, tmp_path, damage, message):
    out = encode_tiny(str(table[0]), tmp_path / "out.parquet", precision="int8", dimension=8).out
    damage(out)
    with pytest.raises(InputError, match=message):
        embeddings_file.read_encoded(out)


def _marked(path, told):
    return pq.read_table(path).replace_schema_metadata({b"nestvec": told})


def _with_codes(path, kind):
    table = pq.read_table(path)
    return table.set_column(1, "embedding", table["embedding"].cast(kind))
