"""The PostgreSQL table of postings for keyword search: a build fills the table, and every writer updates it.

The table of postings has a row for each word and block of documents (`postings.py`), and a row of totals. The table of
documents holds each document's number and words. Removing a document therefore removes the right postings, even if
another version of nestvec split its text into words. Writers take turns, because each block covers many documents.
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

    Key = tuple[str, int]  # `word_key` of a word, and a block's number
    Documents = Mapping[int, str]  # documents' numbers to their joined words
    Words = dict[str, dict[int, Postings]]  # postings by `word_key` and block

_TOTALS = ("#", 0)  # key of the row of totals; no word contains "#"
_READ = 8192  # documents read at a time
_CHANGED = 1000  # blocks read and written at a time
_SIDES = 3  # numbers in a posting: place, count, length
_NONE = Postings.of(array("I"))


class WordTable:
    """The table that holds, for one table of documents, which documents contain which word (postings).

    Args:
        connection: a connection in a transaction.
        documents: name of the table of documents.

    Attributes:
        name: name of the table of postings.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], documents: str) -> None:
        self._connection = connection
        self._documents = documents
        self.name = name_words(documents)

    def make(self) -> None:
        """Create and fill the table of postings; documents must be numbered 0, 1, 2, …, the greatest id first."""
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
        """Read the postings of the given words, if any document contains them, and the totals over all documents."""
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
        """Read a value that is different after each transaction that changed documents."""
        return self._execute(fill_name(word_statements.VERSION, self.name))

    def read_texts(self) -> Iterator[str]:
        """Yield the texts of all documents; they are read from PostgreSQL in portions."""
        self._connection.execute(statements.declare_cursor(fill_name(word_statements.TEXTS, self._documents)))
        while rows := self._execute(statements.fetch_rows(_READ)):
            yield from (unescape_text(text) for (text,) in rows)
        self._connection.execute(statements.DONE)

    def next_number(self) -> int:
        """Return the number for a new document: greater than all numbers in use and all that the build gave."""
        [[last]] = self._execute(fill_name(word_statements.LAST_NUMBER, self._documents))
        _, totals = self.read([])
        return max(totals.ordered, 0 if last is None else last + 1)

    def read_documents(self, text: Text, values: Sequence[object] = ()) -> dict[int, str]:
        """Run a statement that selects numbers and words of documents; returns {number: words as one text}."""
        return dict(self._execute(text, values))

    def replace(self, before: Documents, after: Documents) -> None:
        """Update the postings and totals after documents have changed.

        `before` and `after` have the words of these documents, by number, before and after the change.
        """
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
        """Yield {document number: words as one text} for all documents, one block of documents at a time."""
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
        """Write blocks of postings; existing blocks with the same word and number are replaced."""
        keys, statement = list(blocks), fill_name(word_statements.WRITE_BLOCKS, self.name)
        for first in range(0, len(keys), _CHANGED):
            part = keys[first : first + _CHANGED]
            self._connection.execute(statement, [*_columns(part), [blocks[key] for key in part]])

    def _execute(self, text: Text, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run an SQL statement and return all its rows, which PostgreSQL sends in its binary format."""
        return self._connection.cursor(binary=True).execute(text, values).fetchall()


def name_words(documents: str) -> str:
    """Return the name of the table of postings that belongs to a table of documents."""
    return f"{documents}_words"


def _collect_entries(documents: Documents) -> dict[Key, array[int]]:
    """Collect for each word and block a flat array of (place in the block, word's count, document's length)."""
    entries: dict[Key, array[int]] = defaultdict(lambda: array("I"))
    for number in sorted(documents):
        counts = count_words(documents[number])
        length, (block, place) = counts.total(), divmod(number, BLOCK)
        for word, count in counts.items():
            entries[word_key(word), block].extend((place, count, length))
    return entries


def _count_all(documents: Documents) -> int:
    """Count how many words the given documents have in total."""
    return sum(words.count(" ") for words in documents.values())


def _columns(keys: Sequence[Key]) -> list[list[Any]]:
    """Split pairs of word and block number into two lists, the parameters of a statement."""
    return [[word for word, _ in keys], [block for _, block in keys]]
