"""SQL statements for keyword search in PostgreSQL, on the table of documents and the table of postings.

In most of them, `{}` stands for the table's name, which `fill_name` puts in.
"""

from __future__ import annotations

# The table of documents
STAGE = "CREATE TEMP TABLE nestvec_staged (LIKE {} INCLUDING STORAGE, PRIMARY KEY (id)) ON COMMIT DROP"
UNSTAGE = "DROP TABLE pg_temp.nestvec_staged"
INDEX_NUMBERS = "CREATE UNIQUE INDEX ON {} (number)"
LAST_NUMBER = "SELECT max(number) FROM {}"
ALL_WORDS = "SELECT number, words FROM {} ORDER BY number"
WORDS_OF_BATCH = "SELECT number, words FROM {} JOIN (SELECT id FROM pg_temp.nestvec_batch) USING (id)"
WORDS_OF_IDS = "SELECT number, words FROM {} WHERE id = ANY(%s)"
TEXTS = "SELECT text FROM {}"
NUMBERS_OF_IDS = "SELECT id, number FROM {} WHERE id = ANY(%s)"

# The table of postings
MAKE = 'CREATE TABLE {} (word text COLLATE "C", block integer, postings bytea NOT NULL, PRIMARY KEY (word, block))'
KEEP_OUTSIDE = "ALTER TABLE {} ALTER postings SET STORAGE EXTERNAL"  # reading is faster than decompressing
ANALYZE = "ANALYZE {}"
READ = "SELECT word, block, postings FROM {} WHERE word = ANY(%s)"
VERSION = "SELECT xmin::text FROM {} WHERE word = '#'"  # the row of totals, which every writing transaction changes
READ_BLOCKS = (
    "SELECT word, block, postings FROM {} JOIN unnest(%s::text[], %s::integer[]) AS asked (word, block) "
    "USING (word, block)"
)
WRITE_BLOCKS = (
    "INSERT INTO {} (word, block, postings) SELECT * FROM unnest(%b::text[], %b::integer[], %b::bytea[]) "
    "ON CONFLICT (word, block) DO UPDATE SET postings = excluded.postings"
)
DELETE_BLOCKS = (
    "DELETE FROM {} held USING unnest(%s::text[], %s::integer[]) AS empty (word, block) "
    "WHERE held.word = empty.word AND held.block = empty.block"
)
