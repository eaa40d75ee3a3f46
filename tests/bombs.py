"""Inputs that would take far more memory or time than their size says, each with what is right.

`python tests/bombs.py FOLDER` reads the one that `Bomb.write` put there, in a process of its own, and prints what came
of it, the process's peak memory and the seconds.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable

LOADED = "loaded"
_DESCRIBED = "bomb.json"
_HEAD = b"query,document,grade\n"
_MOST = 6 << 30  # bytes of address space that a reading process is allowed, so that the machine lives
_TEXT = "word " * 200_000  # 1 MB
_ROW = json.dumps({"query": "query 1", "document": "word " * 500, "grade": 1}).encode() + b"\n"


@dataclass(frozen=True)
class Bomb:
    """An input.

    Attributes:
        files: content by name; the first is the source, unless the options say otherwise.
        right: what the message holds; `LOADED` where it is right to load it.
        options: settings; values that name one of the files become its path.
        reader: `records`, `texts` (of `encode`) or `documents` (of `index`).
    """

    files: dict[str, bytes]
    right: str
    options: dict[str, Any] = field(default_factory=dict)
    reader: str = "records"

    def write(self, folder: Path) -> None:
        """Put it into a folder."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        about = {**asdict(self), "files": list(self.files)}
        (folder / _DESCRIBED).write_text(json.dumps(about), encoding="utf-8")


class Reading(NamedTuple):
    """What came of reading a bomb."""

    outcome: str  # `LOADED`, the message, or what ended it
    refused: bool  # with a message
    peak: float  # GiB of the process
    seconds: float


def read_bomb(folder: Path, seconds: float, source: Path | None = None) -> Reading:
    """Read a bomb in a process of its own, of the nestvec at `source` if that is given."""
    command = [sys.executable, __file__, str(folder), *([str(source)] if source else [])]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            shown, trouble = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            peak = _find_peak(process.pid)
            process.kill()
            return Reading(f"hung for {seconds:.0f} s", False, peak, seconds)
    try:
        return Reading(*json.loads(shown.splitlines()[-1]))
    except (IndexError, ValueError):
        last = (trouble.strip().splitlines() or [""])[-1][:200]
        return Reading(f"exit {process.returncode}: {last}", False, 0.0, time.perf_counter() - start)


def _read(folder: Path) -> tuple[str, bool]:
    """What comes of the bomb of a folder, in this process."""
    from nestvec.errors import InputError

    about = json.loads((folder / _DESCRIBED).read_text(encoding="utf-8"))
    source = folder / about["files"][0]
    options = {
        name: str(folder / value) if value in about["files"] else value for name, value in about["options"].items()
    }
    try:
        if about["reader"] == "texts":
            from nestvec.encoding.text_file import open_text_file

            for _ in open_text_file(source).batches():
                pass
        elif about["reader"] == "documents":
            from nestvec.data.documents import DocumentColumns, read_documents
            from nestvec.data.source import Rejects

            for _ in read_documents(source, DocumentColumns(), Rejects()):
                pass
        else:
            from nestvec.pipeline.inputs import read_task
            from nestvec.settings import DataSettings, Settings

            read_task(Settings(data=DataSettings(**{"source": str(source)} | options)))
    except InputError as error:
        return str(error), True
    except BaseException as error:  # what fell, told in one line
        return f"{type(error).__name__}: {error}".splitlines()[0][:200], False
    return LOADED, False


def main() -> None:
    """Read the input named on the command line; print its outcome, peak memory in GiB and seconds as JSON."""
    if len(sys.argv) > 2:
        sys.path.insert(0, sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST, _MOST))
    start = time.perf_counter()
    outcome, refused = _read(Path(sys.argv[1]))
    seconds = time.perf_counter() - start
    sys.stdout.write(json.dumps([outcome, refused, _find_peak(), seconds]) + "\n")


def _find_peak(process: int | str = "self") -> float:
    """GiB that a process had at most; `getrusage` would count what its parent had."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def _parquet(columns: dict[str, pa.Array | list[Any]], **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **{"compression": "zstd", **how})
    return sink.getvalue()


def _judged(document: pa.Array, **how: Any) -> bytes:
    """A table of judgements with such documents."""
    count = len(document)
    queries = pa.array([f"query {row % 50}" for row in range(count)])
    return _parquet(
        {"query": queries, "document": document, "grade": pa.array([row % 3 for row in range(count)])}, **how
    )


def _repeat(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text]))


def _varint(value: int, length: int | None = None) -> bytes:
    """A whole number as Thrift writes it; with `length`, in so many bytes, as a writer may, too."""
    value, parts = value << 1, []
    while value or not parts:
        parts.append(value & 127)
        value >>= 7
    parts += [0] * ((length or 0) - len(parts))
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def _lie(content: bytes, column: int) -> bytes:
    """A Parquet file whose footer says that a column is small."""
    size = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(column).total_uncompressed_size
    true = _varint(size)
    return content.replace(true, _varint(1000, len(true)))


def _wide(count: int, start: str = "c") -> dict[str, int]:
    """`count` columns by name, c0, c1 and so on, each with its number as value."""
    return {f"{start}{number}": number for number in range(count)}


def _lines(header: str, make: Callable[[int], str], count: int) -> bytes:
    return "\n".join([header, *map(make, range(count))]).encode()


def _json_table(queries: int = 30) -> list[dict[str, Any]]:
    return [{"query": f"query {row % 10}", "document": f"text {row}", "grade": row % 3} for row in range(queries)]


def _json(table: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, table)).encode()


def _packed(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


LONG, PACKED, WIDE = "is longer than 8 MB", "unpacks to more than", "has more than 10,000 columns"
BOMBS: dict[str, Callable[[], Bomb]] = {
    "csv rows, gzip": lambda: Bomb({"t.csv.gz": gzip.compress(_HEAD + b"a,b,1\n" * 60_000_000)}, PACKED),
    "csv field, zstd": lambda: Bomb({"t.csv.zst": _packed(_HEAD + b"x" * 60_000_000)}, LONG),
    "jsonl rows, zstd": lambda: Bomb({"t.jsonl.zst": _packed(_json(_json_table()) + b"\n" + _ROW * 100_000)}, PACKED),
    "csv quoted field": lambda: Bomb({"t.csv": _HEAD + b'q,"' + b"word " * 40_000_000 + b'",1\n'}, "longer than 8 MB"),
    "csv line in Windows-1252": lambda: Bomb({"t.csv": _HEAD + b"q,caf\xe9" + b"word " * 40_000_000 + b",1\n"}, LONG),
    "csv columns": lambda: Bomb({"t.csv": f"{','.join(_wide(100_000))}\n{',' * 99_999}".encode()}, WIDE),
    "csv ragged rows set aside": lambda: Bomb(
        {"t.csv": _HEAD + b"a\n" * 30_000_000}, "more than 250,000 rows are bad", {"on_bad_row": "set-aside"}
    ),
    "jsonl field": lambda: Bomb(
        {"t.jsonl": _json([*_json_table(), {"query": "q", "document": "word " * 10_000_000, "grade": 1}])}, LONG
    ),
    "jsonl fields": lambda: Bomb({"t.jsonl": _json([_wide(100_000)])}, WIDE),
    "jsonl fields inside fields": lambda: Bomb(
        {"t.jsonl": _json([{"k" * 5000: {"k" * 5000: _wide(100_000)}}])}, "more than 1,000 letters"
    ),
    "jsonl depth": lambda: Bomb({"t.jsonl": _deep(800_000)}, "is not JSON"),
    "jsonl empty lists": lambda: Bomb(
        {"t.jsonl": b'{"query":"q","grade":1,"document":[' + b"[]," * 2_700_000 + b"[]]}"}, "text or a number"
    ),
    "jsonl long records": lambda: Bomb(
        {"t.jsonl": _json([{**row, "document": _TEXT + str(row)} for row in _json_table(100)])}, ""
    ),
    "passages of one long query": lambda: Bomb(
        {"t.jsonl": _json([{"query": "word " * 500_000, "positive": ["a"] * 50_000, "negative": ["b"]}])}, ""
    ),
    "parquet rows of one text": lambda: Bomb({"t.parquet": _judged(_repeat(_TEXT, 1000))}, ""),
    "parquet more rows of one text": lambda: Bomb({"t.parquet": _judged(_repeat(_TEXT, 200_000))}, PACKED),
    "parquet text": lambda: Bomb({"t.parquet": _judged(pa.array(["word " * 40_000_000, "a", "b"]))}, PACKED),
    "parquet text, incompressible": lambda: Bomb(
        {"t.parquet": _judged(pa.array(["word " * 2_000_000, "a", "b"]), compression="none")}, LONG
    ),
    "parquet text, footer lies": lambda: Bomb(
        {"t.parquet": _lie(_judged(pa.array(["word " * 40_000_000, "a"]), use_dictionary=False), 1)}, PACKED
    ),
    "parquet shared beginnings": lambda: Bomb(
        {
            "t.parquet": _judged(
                pa.array([_TEXT] * 1000).cast(pa.large_string()),
                use_dictionary=["query"],
                column_encoding={"document": "DELTA_BYTE_ARRAY", "grade": "PLAIN"},
            )
        },
        "",
    ),
    "parquet list": lambda: Bomb(
        {"t.parquet": _parquet({
            "query": ["q"],
            "positive": pa.ListArray.from_arrays([0, 20_000_000], _repeat("text", 20_000_000)),
            "negative": pa.array([["n"]]),
        })},
        PACKED,
    ),
    "parquet nulls": lambda: Bomb(
        {"t.parquet": _parquet({name: pa.nulls(50_000_000, pa.string()) for name in ("query", "document", "grade")})},
        PACKED,
    ),
    "parquet columns": lambda: Bomb({"t.parquet": _parquet({name: [1] for name in _wide(50_000)})}, WIDE),
    "qrels of one long document": lambda: Bomb(
        {
            "qrels.tsv": _lines("query-id\tcorpus-id\tscore", lambda row: f"q{row}\td{row % 2}\t1", 50_000),
            "queries.tsv": _lines("id\ttext", lambda row: f"q{row}\tquery {row}", 50_000),
            "corpus.jsonl": _json([{"_id": "d0", "text": _TEXT}, {"_id": "d1", "text": "short"}]),
        },
        "",
        {"qrels": "qrels.tsv", "queries": "queries.tsv", "corpus": "corpus.jsonl", "source": "sample"},
    ),
    "joined table of one long document": lambda: Bomb(
        {
            "qrels.csv": _lines("query_id,document_id,grade", lambda row: f"{row},{row % 2},{row % 2}", 100_000),
            "queries.csv": _lines("query_id,query", lambda row: f"{row},query {row}", 100_000),
            "corpus.csv": f"document_id,text\n0,{_TEXT}\n1,short\n".encode(),
        },
        "",
        {"qrels": "qrels.csv", "queries": "queries.csv", "corpus": "corpus.csv", "source": "sample"},
    ),
    "qrels line": lambda: Bomb(
        {"qrels.tsv": b"q1\td1\t1" + b" " * 100_000_000, "queries.tsv": b"q1\tquery", "corpus.tsv": b"d1\ttext"},
        LONG,
        {"qrels": "qrels.tsv", "queries": "queries.tsv", "corpus": "corpus.tsv", "source": "sample"},
    ),
    "encode: text line": lambda: Bomb({"t.txt": b"word " * 60_000_000}, LONG, reader="texts"),
    "encode: parquet rows of one text": lambda: Bomb(
        {"t.parquet": _parquet({"text": _repeat(_TEXT, 1000)})}, LOADED, reader="texts"
    ),
    "index: jsonl fields": lambda: Bomb(
        {"t.jsonl": _json([{"id": str(row), "text": "t", "map": _wide(400, f"{row}-")} for row in range(100)])},
        WIDE,
        reader="documents",
    ),
    "index: parquet text": lambda: Bomb(
        {"t.parquet": _parquet({"id": ["1", "2"], "text": ["word " * 2_000_000, "b"]}, compression="none")},
        LONG,
        reader="documents",
    ),
}  # fmt: skip

if __name__ == "__main__":
    main()
