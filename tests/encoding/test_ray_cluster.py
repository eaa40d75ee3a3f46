"""The same shards over a real Ray cluster of two machines of one processor each, started and stopped here."""

from __future__ import annotations

import pytest
from products import Told

from nestvec.encoding import embeddings_file, encode_file
from nestvec.encoding.shards import ShardRecipe
from nestvec.errors import NestvecError

pytestmark = pytest.mark.slow  # a Ray cluster

ray = pytest.importorskip("ray")


def test_a_cluster_gives_the_bytes_that_one_machine_gives(cluster, table, encode_tiny, tmp_path):
    path, _ = table
    alone = encode_tiny(str(path), tmp_path / "alone.parquet", precision="int8", dimension=48, shard=30)
    told = Told()
    made = encode_tiny(
        str(path), tmp_path / "out.parquet", precision="int8", dimension=48, shard=30, engine="ray", reporter=told
    )
    assert len(cluster.list_all_nodes()) == 2
    assert made.out.read_bytes() == alone.out.read_bytes()
    assert sum(told.steps[0][2]) == 240
    assert embeddings_file.read_encoded(made.out).ids[:2] == ["sku-0", "sku-1"]
    assert ray.is_initialized()  # what was connected stays so


def test_a_machine_that_cannot_encode_is_one_message(cluster, table, encode_tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(encode_file, "ShardRecipe", lambda *given: ShardRecipe(*given[:-1], "torch on another planet"))
    with pytest.raises(NestvecError, match="a machine of the cluster would encode with torch float32"):
        encode_tiny(str(table[0]), tmp_path / "out.parquet", shard=100, engine="ray")
