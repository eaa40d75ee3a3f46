"""Oracle: another process, which decodes what was saved; the bits must be the same."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from drawn_vectors import directions, like_a_models
from safetensors.numpy import load_file, save_file

from nestvec.errors import InputError
from nestvec.vectors.codecs import CODECS
from nestvec.vectors.stored import load_codecs, save_codecs

GIVEN = ("bits", "dimension")  # of a codec's fields: what precision and width say already
ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from nestvec.vectors.stored import load_codecs
for folder in map(Path, sys.argv[1:]):
    codec = load_codecs(folder / "codecs.safetensors")["codec"]
    np.save(folder / "decoded.npy", codec.decode(np.load(folder / "codes.npy")))
    np.save(folder / "coded.npy", codec.encode(np.load(folder / "documents.npy")))
"""
CASES = [(precision, width) for precision in CODECS for width in (384, 13)]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """For each precision and width: the codec, its codes, and the folder where another process decoded and coded."""
    root, made = tmp_path_factory.mktemp("elsewhere"), {}
    for precision, width in CASES:
        folder = root / f"{precision}-{width}"
        folder.mkdir()
        documents = like_a_models(60) if width == 384 else directions(60, width)
        codec = CODECS[precision](documents[:40])
        codes = codec.encode(documents)
        save_codecs(folder / "codecs.safetensors", {"codec": codec})
        np.save(folder / "codes.npy", codes)
        np.save(folder / "documents.npy", documents)
        made[precision, width] = codec, codes, folder
    subprocess.run([sys.executable, "-c", ELSEWHERE, *(str(folder) for _, _, folder in made.values())], check=True)
    return made


@pytest.mark.parametrize(("precision", "width"), CASES)
def test_another_process_decodes_and_codes_the_same_bits(elsewhere, precision, width):
    codec, codes, folder = elsewhere[precision, width]
    assert np.array_equal(np.load(folder / "decoded.npy"), codec.decode(codes))
    coded = np.load(folder / "coded.npy")
    assert coded.dtype == codes.dtype
    assert np.array_equal(coded, codes)


def test_codecs_of_a_system_share_a_file(tmp_path):
    documents = directions(50, 16)
    codecs = {f"{width}.{name}": fit(documents[:, :width]) for width in (16, 8) for name, fit in CODECS.items()}
    save_codecs(tmp_path / "codecs.safetensors", codecs)
    loaded = load_codecs(tmp_path / "codecs.safetensors")
    assert set(loaded) == set(codecs)
    for name, codec in codecs.items():
        part = documents[:, : int(name.split(".")[0])]
        assert type(loaded[name]) is type(codec)
        assert loaded[name].bytes_per_vector == codec.bytes_per_vector
        assert np.array_equal(loaded[name].encode(part), codec.encode(part))


def about(form, rotation):
    return {"nestvec": json.dumps({"format": form, "rotation": rotation})}


def test_the_same_codecs_are_the_same_bytes(tmp_path):
    codecs = {f"8.{name}": CODECS[name](directions(50, 8)) for name in CODECS}
    for name in ("first", "second"):
        save_codecs(tmp_path / name, codecs)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_what_is_no_such_file_is_refused(tmp_path):
    path = tmp_path / "codecs.safetensors"
    with pytest.raises(InputError, match="is missing"):
        load_codecs(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="cannot be read"):
        load_codecs(path)
    save_file({"codes": np.zeros(3)}, path)
    with pytest.raises(InputError, match="unknown format"):
        load_codecs(path)
    save_file({"x": np.zeros(3)}, path, metadata=about("nestvec codes 2", "seed 0"))
    with pytest.raises(InputError, match="is damaged"):
        load_codecs(path)
    save_file({"x": np.zeros(3)}, path, metadata=about("nestvec codes 2", "seed 1"))
    with pytest.raises(InputError, match="unknown format"):
        load_codecs(path)


@pytest.mark.parametrize("precision", CODECS)
def test_damage_anywhere_is_refused_and_names_the_file(tmp_path, precision):
    path = tmp_path / "codecs.safetensors"
    save_codecs(path, {f"16.{precision}": CODECS[precision](directions(6, 16))})
    whole = path.read_bytes()
    starts = 8 + int.from_bytes(whole[:8], "little")  # of the arrays' bytes
    damaged = [whole[:cut] for cut in (0, 4, starts, len(whole) - 1)]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(starts, len(whole), 3)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_codecs(path)
        assert caught.value.location.file == str(path)


@pytest.mark.parametrize("precision", CODECS)
def test_numbers_of_a_codec_come_back_exactly_and_take_the_bytes_that_are_counted(tmp_path, precision):
    codec, path = CODECS[precision](like_a_models(60)), tmp_path / "codecs.safetensors"
    save_codecs(path, {"384": codec})
    loaded = load_codecs(path)["384"]
    for entry in fields(codec):
        before, after = getattr(codec, entry.name), getattr(loaded, entry.name)
        assert type(after) is type(before)
        assert np.array_equal(after, before) if isinstance(before, np.ndarray) else after == before
    learned = [value.nbytes for name, value in load_file(path).items() if name.split("/")[-1] not in GIVEN]
    assert sum(learned) == codec.extra_bytes
