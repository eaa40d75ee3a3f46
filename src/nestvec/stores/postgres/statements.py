"""The SQL statements that nestvec sends to PostgreSQL.

Everything else in a statement is fixed SQL or comes from `Columns` (column names, types, integers), never from a user.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, LiteralString

from psycopg import sql

from nestvec.stores.postgres.copying import escape_text, format_number
from nestvec.stores.store import ORDERING, PLAIN_NUMBER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestvec.stores.postgres.columns import Columns
    from nestvec.stores.store import Condition

Text = sql.SQL | sql.Composed | bytes
_BATCH = sql.Identifier("pg_temp", "nestvec_batch")
_FIXED = ("id", "text", "fields")
_SIGNS: dict[str, LiteralString] = {"!=": "<>", "=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

METADATA = sql.SQL(
    'CREATE TABLE IF NOT EXISTS nestvec_indexes (name text COLLATE "C" PRIMARY KEY, about jsonb NOT NULL, '
    "codecs bytea NOT NULL, documents text NOT NULL)"
)
READ = sql.SQL("SELECT about, codecs, documents FROM nestvec_indexes WHERE name = %s")
WRITE = sql.SQL(
    "INSERT INTO nestvec_indexes (name, about, codecs, documents) VALUES (%s, %s, %s, %s) ON CONFLICT (name) "
    "DO UPDATE SET about = excluded.about, codecs = excluded.codecs, documents = excluded.documents"
)
EFFORT = sql.SQL("SELECT set_config('hnsw.ef_search', %s, true)")
COMMIT = sql.SQL("COMMIT")
DONE = sql.SQL("CLOSE nestvec_all")
BEGIN = sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
COPY = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(_BATCH)
EMPTY = sql.SQL("TRUNCATE {}").format(_BATCH)
TABLE_SIZE = sql.SQL("SELECT pg_table_size(%s::regclass)")
_INDEXES = (
    "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE indrelid = %s::regclass AND NOT indisprimary AND relam {} (SELECT oid FROM pg_am WHERE amname = 'hnsw')"
)
IDS_SIZE = sql.SQL(
    "SELECT sum(pg_relation_size(indexrelid)) FROM pg_index WHERE indrelid = %s::regclass AND indisprimary"
)
VECTORS_SIZE = sql.SQL(_INDEXES).format(sql.SQL("="))
NUMBERS_SIZE = sql.SQL(_INDEXES).format(sql.SQL("<>"))
WHOLE_SIZE = sql.SQL("SELECT pg_total_relation_size(%s::regclass)")

# Statements with a place for one name, which `fill_name` fills
COUNT = "SELECT count(*) FROM {}"
TOUCH = "SELECT FROM {} LIMIT 0"
VERSION = "SELECT count(*), sum(xmin::text::bigint) FROM {}"  # a changed row gets a new xmin
DELETE = "DELETE FROM {} WHERE id = ANY(%s)"
DROP = "DROP TABLE IF EXISTS {}"
LOCK = "SELECT {}(%s)"  # the name is one of PostgreSQL's advisory lock functions
MAKE_BATCH = "CREATE TEMP TABLE IF NOT EXISTS nestvec_batch (LIKE {}) ON COMMIT DROP"


def fill_name(statement: LiteralString, name: str) -> sql.Composed:
    """Insert the quoted name of a table or function into an SQL statement, in place of `{}`."""
    return sql.SQL(statement).format(sql.Identifier(name))


def lock_key(name: str) -> int:
    """Return the key of an index's PostgreSQL advisory lock; a build holds this lock exclusively, writers share it."""
    return int.from_bytes(hashlib.sha256(f"nestvec index {name}".encode()).digest()[:8], "big", signed=True)


def make_table(table: str, columns: Columns) -> sql.Composed:
    """Make the SQL statement that creates an index's table of documents, with the columns that `columns` describes."""
    own = [sql.SQL("{} {} NOT NULL").format(sql.Identifier(n), sql.SQL(t)) for n, t in columns.types.items()]
    fixed = sql.SQL('id text COLLATE "C" PRIMARY KEY, text text NOT NULL, fields jsonb NOT NULL')
    words = [sql.SQL("words text NOT NULL"), sql.SQL("number integer")] if columns.about.hybrid else []
    return sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table), sql.SQL(", ").join([fixed, *own, *words]))


def keep_inline(table: str, columns: Columns) -> sql.Composed:
    """Make the statement that tells PostgreSQL to move long texts, not vectors, out of the main table.

    This makes searches faster, because they read many vectors but few texts.
    """
    changes = [sql.SQL("ALTER {} SET STORAGE MAIN").format(sql.Identifier(name)) for name in columns.types]
    return sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table), sql.SQL(", ").join(changes))


def make_index(table: str, columns: Columns) -> sql.Composed:
    """Make the SQL statement that creates the approximate (HNSW) index of the vectors."""
    target = columns.index_target
    over = sql.SQL("({}) {}").format(sql.SQL(target.expression), sql.SQL(target.operators))
    return sql.SQL("CREATE INDEX ON {} USING hnsw ({})").format(sql.Identifier(table), over)


def merge_batch(table: str, columns: Columns) -> sql.Composed:
    """Make the SQL statement that adds or replaces a batch's documents in the table; unchanged rows are not written.

    Rows are written in the order of ids, so that two writers of the same documents cannot deadlock. With keyword
    search, the statement's parameter is the number of the first new document. The numbers have gaps, because documents
    that exist keep their numbers.
    """
    words = columns.about.hybrid is not None
    names = _name_columns(columns)
    new = [sql.SQL("excluded.{}").format(name) for name in names[1:]]
    old = [sql.SQL("held.{}").format(name) for name in names[1:]]
    changes = [sql.SQL("{} = {}").format(name, value) for name, value in zip(names[1:], new, strict=True)]
    lists: dict[str, Sequence[sql.Composable]] = {
        "into": [*names, sql.Identifier("number")] if words else names,
        "values": [*names, sql.SQL("%s::integer + row_number() OVER (ORDER BY id) - 1")] if words else names,
        "changes": changes,
        "old": old,
        "new": new,
    }
    return sql.SQL(
        "INSERT INTO {table} AS held ({into}) SELECT {values} FROM {batch} ORDER BY id ON CONFLICT (id) DO UPDATE "
        "SET {changes} WHERE ({old}) IS DISTINCT FROM ({new})"
    ).format(
        table=sql.Identifier(table), batch=_BATCH, **{name: sql.SQL(", ").join(part) for name, part in lists.items()}
    )


def take_staged(table: str, columns: Columns) -> sql.Composed:
    """Make the statement that moves all staged documents into the table and numbers them, the greatest id first."""
    return sql.SQL(
        "INSERT INTO {table} ({names}, number) SELECT {names}, row_number() OVER (ORDER BY id DESC) - 1 "
        "FROM pg_temp.nestvec_staged ORDER BY id DESC"
    ).format(table=sql.Identifier(table), names=sql.SQL(", ").join(_name_columns(columns)))


def select_numbers(table: str, names: Sequence[str], where: Sequence[Condition]) -> sql.Composed:
    """Make the SQL query that finds documents by their numbers, if the documents fulfil the conditions.

    It returns ids, numbers and the columns `names`. Its first parameter is the list of numbers; the conditions' values
    follow.
    """
    asked = sql.SQL("{} WHERE number = ANY(%s::integer[])").format(_select_columns(table, ["number", *names]))
    return sql.SQL(" AND ").join([asked, *map(_condition_sql, where)])


def select_nearest(table: str, columns: Columns, count: int, where: Sequence[Condition]) -> sql.Composed:
    """Make the SQL query that finds the `count` documents nearest to a query by the HNSW index.

    It returns ids and the columns of the first stage. Its last parameter is the query's vector or sign bits.
    """
    target = columns.index_target
    by = sql.SQL("{} {} %s::{}").format(sql.SQL(target.expression), sql.SQL(target.sign), sql.SQL(target.form))
    rows = select_all(table, columns.needed_columns(0), where)
    limit = sql.Literal(count)  # with a parameter, the planner would not know the number
    return sql.SQL("{} ORDER BY {} LIMIT {}").format(rows, by, limit)


def select_all(table: str, names: Sequence[str], where: Sequence[Condition]) -> sql.Composed:
    """Make the SQL query that reads ids and the columns `names` of all documents that fulfil the conditions."""
    rows = _select_columns(table, names)
    if not where:
        return rows
    conditions = sql.SQL(" AND ").join([_condition_sql(condition) for condition in where])
    return sql.SQL("{} WHERE {}").format(rows, conditions)


def declare_cursor(text: sql.Composed) -> sql.Composed:
    """Make the SQL statement that declares a cursor, to read the rows of a query in portions."""
    return sql.SQL("DECLARE nestvec_all NO SCROLL CURSOR FOR {}").format(text)


def fetch_rows(count: int) -> sql.Composed:
    """Make the SQL statement that fetches the cursor's next rows, at most `count`."""
    return sql.SQL("FETCH {} FROM nestvec_all").format(sql.Literal(count))


def select_ids(table: str, names: Sequence[str]) -> sql.Composed:
    """Make the SQL query that reads the columns `names` of the documents whose ids are in the query's parameter."""
    return sql.SQL("{} WHERE id = ANY(%s)").format(_select_columns(table, names))


def condition_values(where: Sequence[Condition]) -> list[str]:
    """Return the parameters of the filter conditions' SQL, in their order."""
    values = []
    for condition in where:
        name, number = escape_text(condition.name), condition.number
        text = [name, escape_text(condition.value)]
        if number is None:
            values += [name, *text]
        else:
            as_number = [name, name, format_number(number)] if condition.sign in ORDERING else []
            values += [name, name, format_number(number), *as_number, *text]
    return values


def _condition_sql(condition: Condition) -> sql.Composed:
    """Write a condition of a filter, such as `price<=20`, as SQL that selects the same documents as `Condition.holds`.

    CASE checks the type of the field's value before it is cast; with AND, PostgreSQL might cast first.
    """
    sign = sql.SQL(_SIGNS[condition.sign])
    number: sql.Composable = sql.SQL("")
    text = sql.SQL('(fields ->> %s::text) COLLATE "C" {} %s::text').format(sign)
    if condition.number is not None:
        number = sql.SQL("WHEN 'number' THEN (fields ->> %s::text)::numeric {} %s::numeric ").format(sign)
        if condition.sign in ORDERING:
            text = sql.SQL(
                "CASE WHEN (fields ->> %s::text) ~ {} THEN (fields ->> %s::text)::float8 {} %s::float8 ELSE {} END"
            ).format(sql.Literal(f"^{PLAIN_NUMBER}$"), sign, text)
    return sql.SQL("CASE jsonb_typeof(fields -> %s::text) {}WHEN 'string' THEN {} ELSE false END").format(number, text)


def _name_columns(columns: Columns) -> list[sql.Identifier]:
    """Return the names of all columns that a batch of documents fills."""
    return [sql.Identifier(name) for name in (*_FIXED, *columns.types, *(["words"] if columns.about.hybrid else []))]


def _select_columns(table: str, names: Sequence[str]) -> sql.Composed:
    wanted = sql.SQL(", ").join([sql.Identifier("id"), *(sql.Identifier(name) for name in names)])
    return sql.SQL("SELECT {} FROM {}").format(wanted, sql.Identifier(table))


def quote_table(table: str) -> str:
    """Quote a table's name, for a parameter that PostgreSQL casts to `regclass`."""
    return sql.Identifier(table).as_string(None)
