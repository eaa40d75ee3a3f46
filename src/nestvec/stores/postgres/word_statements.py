"""What is said to PostgreSQL of words: those of documents, by number, and the table of postings beside theirs.

Each has one name in it, of the documents' table or of the postings', which `fill_name` puts in.
"""

from __future__ import annotations

# The documents' table
STAGE = "CREATE TEMP TABLE nestvec_staged (LIKE {} INCLUDING STORAGE, PRIMARY KEY (id)) ON COMMIT DROP"
UNSTAGE = "DROP TABLE pg_temp.nestvec_staged"
INDEX_NUMBERS = "CREATE UNIQUE INDEX ON {} (number)"
LAST_NUMBER = "SELECT max(number) FROM {}"
ALL_WORDS = "SELECT number, words FROM {} ORDER BY number"
WORDS_OF_BATCH = "SELECT number, words FROM {} JOIN (SELECT id FROM pg_temp.nestvec_batch) USING (id)"
WORDS_OF_IDS = "SELECT number, words FROM {} WHERE id = ANY(%s)"
TEXTS = "SELECT text FROM {}"
NUMBERS_OF_IDS = "SELECT id, number FROM {} WHERE id = ANY(%s)"

# The postings' table
MAKE = 'CREATE TABLE {} (word text COLLATE "C", block integer, postings bytea NOT NULL, PRIMARY KEY (word, block))'
KEEP_OUTSIDE = "ALTER TABLE {} ALTER postings SET STORAGE EXTERNAL"  # unpacking would take longer than reading
ANALYZE = "ANALYZE {}"
READ = "SELECT word, block, postings FROM {} WHERE word = ANY(%s)"
VERSION = "SELECT xmin::text FROM {} WHERE word = '#'"  # of the totals, which every transaction of a writer changes
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
