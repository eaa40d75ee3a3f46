"""Bad rows of a file that is encoded: the first is named, or all are set aside; what was refused blocks nothing.

Oracle: `shared/cases/empty_cell.csv`, whose third row has no text, and the output of a file without the bad rows.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import CASES

from nestvec.encoding.embeddings_file import read_encoded
from nestvec.encoding.text_file import open_text_file
from nestvec.errors import InputError

BAD = CASES / "empty_cell.csv"


def left_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_row_is_named_and_the_mended_file_is_taken_under_the_same_output(tmp_path, encode_tiny):
    out = tmp_path / "out.parquet"
    with pytest.raises(InputError, match=r"empty_cell\.csv, row 3, column 'text': is empty; expected text"):
        encode_tiny(str(BAD), out)
    assert left_in(tmp_path) == []
    mended = tmp_path / "mended.csv"
    mended.write_text(BAD.read_text().replace("2,\n", "2,green rake\n"))
    assert encode_tiny(str(mended), out).rows == 3
    assert left_in(tmp_path) == ["mended.csv", "out.parquet"]


def test_set_aside_goes_on_and_writes_the_rows_beside_the_output(tmp_path, encode_tiny):
    encoded = encode_tiny(str(BAD), tmp_path / "out.parquet", on_bad_row="set-aside")
    assert (encoded.rows, encoded.set_aside, encoded.rejected) == (2, 1, tmp_path / "out.rejected.parquet")
    [row] = pq.read_table(encoded.rejected).to_pylist()
    assert (row["file"], row["row"], row["column"], row["problem"]) == (str(BAD), 3, "text", "is empty")
    assert "'2'" in row["content"]
    good = tmp_path / "good.csv"
    good.write_text(BAD.read_text().replace("2,\n", ""))
    again = encode_tiny(str(good), tmp_path / "good.parquet", on_bad_row="set-aside")
    assert (again.set_aside, again.rejected) == (0, None)
    one, other = read_encoded(encoded.out), read_encoded(again.out)
    assert one.ids == other.ids == ["1", "3"]
    np.testing.assert_array_equal(one.codes(), other.codes())
    assert encode_tiny(str(good), encoded.out).rejected is None
    assert not (tmp_path / "out.rejected.parquet").exists()  # it spoke of another input


def test_an_output_that_is_a_link_is_written_where_it_leads(tmp_path, encode_tiny):
    far, link = tmp_path / "far", tmp_path / "out.parquet"
    far.mkdir()
    link.symlink_to(far / "vectors.parquet")
    encoded = encode_tiny(str(BAD), link, on_bad_row="set-aside")
    assert link.readlink() == far / "vectors.parquet" and left_in(tmp_path) == ["far", "out.parquet"]
    assert left_in(far) == ["vectors.parquet", "vectors.rejected.parquet"]
    assert read_encoded(link).ids == ["1", "3"] and encoded.rejected == far / "vectors.rejected.parquet"


def test_rows_that_are_damaged_or_have_no_id_are_set_aside_too(tmp_path, encode_tiny):
    path = tmp_path / "t.csv"
    path.write_text("id,text\n1,bolt\n2,nut,3\n ,nail\n4,\n5,saw\n")
    encoded = encode_tiny(str(path), tmp_path / "out.parquet", on_bad_row="set-aside")
    assert read_encoded(encoded.out).ids == ["1", "5"]
    assert sorted(row["row"] for row in pq.read_table(encoded.rejected).to_pylist()) == [3, 4, 5]


def test_nothing_but_bad_rows_is_refused_and_blocks_nothing(tmp_path, encode_tiny):
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,\n2," "\n')
    with pytest.raises(InputError, match="holds no text"):
        encode_tiny(str(path), tmp_path / "out.parquet", on_bad_row="set-aside")
    path.write_text("id,text\n1,bolt\n")
    assert encode_tiny(str(path), tmp_path / "out.parquet").rows == 1


def test_work_that_was_killed_before_its_input_was_read_blocks_nothing(tmp_path, encode_tiny, monkeypatch):
    from nestvec.encoding.work_folder import WorkFolder

    first, other = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("text\nbolt\n")
    other.write_text("text\nnut\nsaw\n")
    with monkeypatch.context() as broken:
        broken.setattr(WorkFolder, "sort_into_buckets", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            encode_tiny(str(first), tmp_path / "out.parquet")
    assert encode_tiny(str(other), tmp_path / "out.parquet").rows == 2


def test_a_policy_that_is_none_is_refused(tmp_path, encode_tiny):
    with pytest.raises(InputError, match="--on-bad-row is 'skip'; expected stop or set-aside"):
        encode_tiny(str(BAD), tmp_path / "out.parquet", on_bad_row="skip")


def test_the_command_says_how_many(tmp_path, tiny, typed):
    out = tmp_path / "out.parquet"
    options = ["--out", out, "--backend", "torch", "--on-bad-row", "set-aside"]
    code, told, message = typed("encode", tiny, BAD, *options)
    assert code == 0, message
    assert f"1 bad row was set aside into {tmp_path / 'out.rejected.parquet'}" in told


@pytest.mark.parametrize(
    "ids", [[7.0, 100000.0, 2.5], ["007", " 7", "a  b"], [1, 2, 2**60], ["NaN", "null", "A&amp;B"]]
)
def test_ids_are_kept_byte_for_byte(tmp_path, ids):
    pq.write_table(pa.table({"key": ids, "text": ["a", "b", "c"]}), tmp_path / "t.parquet")
    [batch] = open_text_file(tmp_path / "t.parquet", "text", "key").batches()
    assert batch.ids == [str(name).removesuffix(".0") for name in ids]
