"""The words of an index: a table of postings beside that of the documents, filled by a build and kept by every writer.

It has a row for each word and block of documents (`postings.py`), and one of the totals. The documents' table says of
each document its number and its words, so that a document that goes takes its own postings with it, whatever version
split them. Writers take turns, as a block is of many documents.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from nestvec.stores.postgres import statements, word_statements
from nestvec.stores.postgres.copying import unescape_text
from nestvec.stores.postgres.postings import BLOCK, Postings, Totals, count_words, word_key
from nestvec.stores.postgres.statements import fill_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import psycopg

    from nestvec.stores.postgres.statements import Text

    Key = tuple[str, int]  # a word as `word_key` has it, and a block
    Documents = Mapping[int, str]  # the words of documents, joined, by their numbers
    Words = dict[str, dict[int, Postings]]  # a word's postings by key and block

_TOTALS = ("#", 0)  # the key of the totals: no word has this sign
_READ = 8192  # documents read at a time
_CHANGED = 1000  # blocks read and written at a time
_SIDES = 3  # numbers of a posting: a place, a count, a length
_NONE = Postings.of(array("I"))


class WordTable:
    """The postings of one table of documents.

    Args:
        connection: in a transaction.
        documents: the table of the documents.

    Attributes:
        name: of the postings' table.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], documents: str) -> None:
        self._connection = connection
        self._documents = documents
        self.name = name_words(documents)

    def make(self) -> None:
        """Put up the table, filled from the documents, whose numbers are in tie order and leave none out."""
        self._connection.execute(fill_name(word_statements.INDEX_NUMBERS, self._documents))
        for statement in (word_statements.MAKE, word_statements.KEEP_OUTSIDE):
            self._connection.execute(fill_name(statement, self.name))
        documents = words = 0
        for part in self._read_by_block():
            entries = _collect_entries(part)
            self._write({key: Postings.of(entries[key]).pack() for key in sorted(entries)})
            documents, words = documents + len(part), words + _count_all(part)
        self._write({_TOTALS: Totals(documents, words, documents).pack()})
        self._connection.execute(fill_name(word_statements.ANALYZE, self.name))

    def read(self, words: Iterable[str]) -> tuple[Words, Totals]:
        """Postings of words, those that no document holds left out, and the totals."""
        keys = [_TOTALS[0], *sorted(set(map(word_key, words)))]
        found: Words = defaultdict(dict)
        totals = Totals()
        for key, block, raw in self._execute(fill_name(word_statements.READ, self.name), [keys]):
            if (key, block) == _TOTALS:
                totals = Totals.parse(raw)
            else:
                found[key][block] = Postings.parse(raw)
        return found, totals

    def read_version(self) -> list[tuple[str]]:
        """What is another after each transaction that changed documents."""
        return self._execute(fill_name(word_statements.VERSION, self.name))

    def read_texts(self) -> Iterator[str]:
        """The texts of all documents, some at a time."""
        self._connection.execute(statements.declare_cursor(fill_name(word_statements.TEXTS, self._documents)))
        while rows := self._execute(statements.fetch_rows(_READ)):
            yield from (unescape_text(text) for (text,) in rows)
        self._connection.execute(statements.DONE)

    def next_number(self) -> int:
        """The number of a new document: beyond all that are there, and beyond those in tie order."""
        [[last]] = self._execute(fill_name(word_statements.LAST_NUMBER, self._documents))
        _, totals = self.read([])
        return max(totals.ordered, 0 if last is None else last + 1)

    def read_documents(self, text: Text, values: Sequence[object] = ()) -> dict[int, str]:
        """The words, joined, of the documents that a statement selects, by number."""
        return dict(self._execute(text, values))

    def replace(self, before: Documents, after: Documents) -> None:
        """Take the postings of documents as they were out, and put those of them as they are in."""
        gone = {number: words for number, words in before.items() if after.get(number) != words}
        new = {number: words for number, words in after.items() if before.get(number) != words}
        left, added = _collect_entries(gone), _collect_entries(new)
        keys = sorted(left.keys() | added.keys())
        for first in range(0, len(keys), _CHANGED):
            part = keys[first : first + _CHANGED]
            rows = self._execute(fill_name(word_statements.READ_BLOCKS, self.name), _columns(part))
            held = {(key, block): Postings.parse(raw) for key, block, raw in rows}
            changed = {key: held.get(key, _NONE).replace(left[key][::_SIDES], Postings.of(added[key])) for key in part}
            self._write({key: postings.pack() for key, postings in changed.items() if len(postings.places)})
            empty = [key for key, postings in changed.items() if not len(postings.places)]
            self._connection.execute(fill_name(word_statements.DELETE_BLOCKS, self.name), _columns(empty))
        _, totals = self.read([])
        documents = totals.documents + len(after) - len(before)
        words = totals.words + _count_all(new) - _count_all(gone)
        self._write({_TOTALS: Totals(documents, words, totals.ordered).pack()})

    def _read_by_block(self) -> Iterator[dict[int, str]]:
        """The words of all documents, joined, by number, a block at a time."""
        self._connection.execute(statements.declare_cursor(fill_name(word_statements.ALL_WORDS, self._documents)))
        part: dict[int, str] = {}
        while rows := self._execute(statements.fetch_rows(_READ)):
            for number, words in rows:
                if part and number % BLOCK == 0:
                    yield part
                    part = {}
                part[number] = words
        if part:
            yield part
        self._connection.execute(statements.DONE)

    def _write(self, blocks: Mapping[Key, bytes]) -> None:
        """Write blocks in place of those that are there."""
        keys, statement = list(blocks), fill_name(word_statements.WRITE_BLOCKS, self.name)
        for first in range(0, len(keys), _CHANGED):
            part = keys[first : first + _CHANGED]
            self._connection.execute(statement, [*_columns(part), [blocks[key] for key in part]])

    def _execute(self, text: Text, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Send a statement and read its rows, which come in binary."""
        return self._connection.cursor(binary=True).execute(text, values).fetchall()


def name_words(documents: str) -> str:
    """The name of the postings' table beside a table of documents; PostgreSQL has room for both names."""
    return f"{documents}_words"


def _collect_entries(documents: Documents) -> dict[Key, array[int]]:
    """Place, count and length in turn of the documents that hold a word, by its key and their block, in order."""
    entries: dict[Key, array[int]] = defaultdict(lambda: array("I"))
    for number in sorted(documents):
        counts = count_words(documents[number])
        length, (block, place) = counts.total(), divmod(number, BLOCK)
        for word, count in counts.items():
            entries[word_key(word), block].extend((place, count, length))
    return entries


def _count_all(documents: Documents) -> int:
    """How many words documents have together."""
    return sum(words.count(" ") for words in documents.values())


def _columns(keys: Sequence[Key]) -> list[list[Any]]:
    """Words and blocks as two parameters."""
    return [[word for word, _ in keys], [block for _, block in keys]]
