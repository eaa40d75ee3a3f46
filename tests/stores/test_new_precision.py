"""Oracle: CONTRIBUTING's recipe. A precision that was added nowhere is refused by name in each place that it lists, and
never read as another one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pytest
from worlds import WIDTH, World

from nestvec.encoding.embeddings_file import column_type
from nestvec.errors import InputError
from nestvec.evaluation.ranking import Vectors, rank_dense
from nestvec.evaluation.surface import Catalogue
from nestvec.point import VectorFormat
from nestvec.settings import Settings
from nestvec.stores.embedded import EmbeddedStore
from nestvec.stores.postgres.columns import Columns
from nestvec.stores.scan import Scan, score_bound
from nestvec.vectors.codecs import Float32
from nestvec.vectors.stored import save_codecs

TERNARY = VectorFormat(WIDTH, "ternary")


@dataclass(frozen=True)
class Ternary:
    """-1, 0 or 1 a number: a codec that nestvec has not."""

    dimension: int

    @property
    def bytes_per_vector(self):
        return self.dimension

    @property
    def extra_bytes(self):
        return 0

    def encode(self, vectors):
        return np.sign(np.round(4 * vectors)).astype(np.int8)

    def decode(self, codes):
        return codes.astype(np.float32)


@dataclass(frozen=True)
class Narrower(Float32):
    """A codec of the test's own that is also one of nestvec's: its codes need not be the parent's."""


@pytest.fixture
def world():
    return World((VectorFormat(WIDTH, "int8"),), documents=20, queries=2)


@pytest.fixture
def about(world):
    return replace(world.about, stages=(TERNARY,))


def test_an_unknown_precision_is_no_option_no_point_and_has_no_bytes():
    with pytest.raises(InputError, match="ternary"):
        Settings.from_flat({"precisions": ("float32", "ternary")})
    with pytest.raises(InputError, match="ternary"):
        Settings.from_flat({"two-stage": (f"{TERNARY.name}:48.int8",)})
    with pytest.raises(ValueError, match="ternary"):
        VectorFormat.parse(TERNARY.name)
    with pytest.raises(KeyError, match="ternary"):
        _ = TERNARY.bytes


def test_an_unknown_precision_is_not_measured(world):
    catalogue = Catalogue(world.ids, world.texts)
    with pytest.raises(KeyError, match="ternary"):
        list(rank_dense("mnr", Vectors(world.queries, world.vectors), catalogue, [TERNARY]))


@pytest.mark.parametrize("codec", [Ternary(WIDTH), Narrower(WIDTH)], ids=lambda codec: type(codec).__name__)
def test_codes_of_an_unknown_codec_are_not_searched(world, codec):
    told = rf"{type(codec).__name__}; add {type(codec).__name__} to _FORMS in stores/scan\.py"
    with pytest.raises(TypeError, match=told):
        Scan.of(codec, codec.encode(world.vectors))
    with pytest.raises(TypeError, match=told):
        score_bound(codec, world.queries[0], 0.5)


@pytest.mark.parametrize("codec", [Ternary(WIDTH), Narrower(WIDTH)], ids=lambda codec: type(codec).__name__)
def test_an_unknown_codec_is_not_saved(tmp_path, codec):
    name = type(codec).__name__
    with pytest.raises(TypeError, match=rf"{name} cannot be saved; add {name} to _KINDS in vectors/stored\.py"):
        save_codecs(tmp_path / "codecs.safetensors", {TERNARY.name: codec})
    assert not list(tmp_path.iterdir())


def test_an_unknown_precision_is_not_written_to_parquet():
    with pytest.raises(TypeError, match=r"ternary; add ternary to _NUMBERS in encoding/embeddings_file\.py"):
        column_type(TERNARY.precision, WIDTH)


def test_an_index_of_an_unknown_codec_is_not_built(tmp_path, world, about):
    with closing(EmbeddedStore(tmp_path / "index")) as store:
        with pytest.raises(TypeError, match="Ternary"):
            store.build(about, [Ternary(WIDTH)], world.batches())
        assert store.about is None


@pytest.mark.parametrize("what", ["types", "index_target", "check_width", "pack_rows", "needed_columns", "parse_codes"])
def test_postgres_has_no_columns_for_an_unknown_precision(world, about, what):
    columns = Columns(about, (Ternary(WIDTH),))
    asked = {
        "types": lambda: columns.types,
        "index_target": lambda: columns.index_target,
        "check_width": columns.check_width,
        "pack_rows": lambda: list(columns.pack_rows(world.vectors)),
        "needed_columns": lambda: columns.needed_columns(0),
        "parse_codes": lambda: columns.parse_codes(0, [[b"\x00" * WIDTH]]),
    }
    with pytest.raises(TypeError, match=r"ternary; add ternary to _KEPT in stores/postgres/columns\.py"):
        asked[what]()
