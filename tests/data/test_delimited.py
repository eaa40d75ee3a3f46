"""Oracle: tables whose rows are known because the test wrote them line by line; the shared cases hold 200 records."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest
from tables import as_triples, load, rows, write_csv

from nestvec.data.readers import read_file
from nestvec.data.source import SET_ASIDE, Rejects
from nestvec.data.text_form import TextForm
from nestvec.errors import InputError

CASES = Path(__file__).parent / "cases"
DELIMITER = "another delimiter than usual"
HEADER = "query,document_id,title,grade\n"
TABLE = rows(queries=30)
EXPECTED = [(row["query"], row["document"], float(row["grade"])) for row in TABLE]


def read_rows(path, policy="stop", **form):
    """Every record as (row number, values), and the rejects."""
    source = read_file(path, TextForm(**form))
    rejects = Rejects(policy)
    found = []
    for batch in source.read(list(source.columns), rejects):
        found += zip(batch.rows.tolist(), zip(*(batch.values.column(name).to_pylist() for name in source.columns),
                                              strict=True), strict=True)  # fmt: skip
    return found, rejects.rows


def write(tmp_path, content, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    return path


def make_lines(count, start=0):
    """Rows of the shared cases' form."""
    return [f"red hammer size {n // 5},D{n:04d},red hammer number {n},{3 - n % 3}" for n in range(start, start + count)]


# Quotes


@pytest.mark.parametrize("name", ["quotes.tsv", "oddids.csv", "semicolon.csv", "cp1252.csv"])
def test_a_shared_case_gives_its_200_records(name):
    records = load(CASES / name)
    assert len(records) == 200
    assert not records.rejected


def test_a_tsv_keeps_its_quotes():
    found, _ = read_rows(CASES / "quotes.tsv")
    assert [number for number, _ in found] == list(range(2, 202))
    titles = {number: values[2] for number, values in found if '"' in values[2]}
    assert titles == {
        12: '"Heavy" red drill number 10', 23: '"6 inch blue level number 21', 62: 'blue drill number 60 8"',
    }  # fmt: skip


def test_the_same_as_csv_names_the_row_where_the_quote_opens(tmp_path):
    path = write(tmp_path, (CASES / "quotes.tsv").read_text().replace("\t", ","))
    with pytest.raises(InputError, match="row 23, column 'title': a quote holds 40 lines together, of which 40 look"):
        load(path)
    assert len(load(path, quoting="none")) == 200
    records = load(path, on_bad_row="set-aside")
    assert len(records) == 160
    assert [(row.row, row.column) for row in records.rejected] == [(23, "title")]


@pytest.mark.parametrize("closing", ['red 8"', '8" red', '"8 inch"', '"8 inch, red"', 'red "8" inch'])
@pytest.mark.parametrize("opening", ['"6 inch', '"6 inch, blue', '"'])
@pytest.mark.parametrize("between", [0, 1, 30, 3000])
def test_rows_within_a_quote_are_refused_with_the_row_where_it_opens(tmp_path, opening, closing, between):
    lines = make_lines(between + 60)
    lines[20] = f"red hammer,D0020,{opening},3"
    lines[21 + between] = f"red hammer,D0021,{closing},3"
    path = write(tmp_path, HEADER + "\n".join(lines))
    with pytest.raises(InputError, match=r"row 22\b"):
        read_rows(path)
    found, rejected = read_rows(path, SET_ASIDE)
    assert [row.row for row in rejected] == [22]
    assert [values[1] for _, values in found[:20]] == [f"D{n:04d}" for n in range(20)]
    assert all("\n" not in value for _, values in found for value in values)


HONEST = [
    "A hammer.\nIt has a handle, a head and a name.\nRed, blue, green",
    "Sizes:\n10, 20, 30\n40, 50, 60\nand more",
    "\n\n, , ,\n\n",
    "Fits:\r\n- walls\r\n- doors, windows\r\n",
    'He said "buy it"\nand left',
    "one\ntwo\nthree\nfour,five",
    "S,M,L\nred,green,blue",
    "a\n1,2,3\nb",
]


@pytest.mark.parametrize("text", HONEST)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_honest_texts_of_several_lines_pass(tmp_path, text, delimiter):
    table = [{"query": f"q {n}", "document": f"{text} {n}" if n % 3 else text, "grade": n % 3} for n in range(40)]
    path = write_csv(tmp_path / "t.csv", table, delimiter)
    found, _ = read_rows(path, quoting="double")
    assert [values for _, values in found] == [tuple(map(str, row.values())) for row in table]


@pytest.mark.parametrize(
    "text",
    ["Gewicht:\n2,5 kg\n3,5 m", "Red hammer\nsteel,heavy", "a, b\nc, d", "one\ntwo\nthree,four", "x\n\n1,000 pieces"],
)
@pytest.mark.parametrize("column", [0, 1])
def test_honest_texts_of_a_table_of_pairs_pass(tmp_path, text, column):
    table = [{"query": f"red saw {'x' * (n % 5)}", "positive": "a red saw that cuts, somehow"} for n in range(30)]
    table[7][["query", "positive"][column]] = text
    found, _ = read_rows(write_csv(tmp_path / "t.csv", table))
    assert [values for _, values in found] == [tuple(row.values()) for row in table]


KINDS_OF_VALUES = {
    "text": lambda rng, n: " ".join(rng.choices(("red", "steel", "hammer", "saw", "long"), k=rng.randint(2, 6))),
    "id": lambda rng, n: f"D{n:04d}",
    "number": lambda rng, n: str(n % 4),
    "label": lambda rng, n: rng.choice(["Exact", "Partial", "No"]),
    "number or blank": lambda rng, n: rng.choice(["", "1", "2.5"]),
}


@pytest.mark.parametrize("seed", range(4))
def test_no_row_is_lost_to_a_stray_quote_whatever_the_columns(tmp_path, seed):
    rng = random.Random(seed)
    for _ in range(150):
        kinds = rng.choices(list(KINDS_OF_VALUES), k=rng.randint(2, 6))
        if set(kinds) == {"text"}:
            kinds[-1] = "number"  # pairs of texts on two lines could be one honest text
        count = rng.randint(20, 80)
        table = [[KINDS_OF_VALUES[kind](rng, n) for kind in kinds] for n in range(count)]
        opens = rng.randrange(count)
        closes = min(count - 1, opens + rng.choice([1, 2, 3, 10, 40]))
        column = rng.randrange(len(kinds))
        table[opens][column] = f'"{table[opens][column]}'
        column = rng.randrange(len(kinds))
        value = table[closes][column]
        table[closes][column] = rng.choice([f'{value}"', f'{value[:3]}"{value[3:]}', f'"{value}', f'{value}" x', value])
        delimiter = rng.choice(",;|")
        path = write(tmp_path, "\n".join(map(delimiter.join, [[f"c{n}" for n in range(len(kinds))], *table])))
        try:
            found, _ = read_rows(path)
        except InputError as error:
            assert error.location.row is not None
        else:
            assert len(found) == count


def test_a_hidden_row_is_found_in_a_column_that_nobody_asked_for(tmp_path):
    lines = ["query,note,document,grade", *(f"q{n},note {n},red saw {n},{n % 3}" for n in range(30))]
    lines[5], lines[9] = 'q4,"6 inch,red saw 4,1', 'q8,8",red saw 8,2'
    with pytest.raises(InputError, match="row 6, column 'note': a quote holds 5 lines together"):
        load(write(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize("last", ['q,D1,"saw,3', 'q,D1,saw,"3', '"q,D1,saw,3', 'q,D1,"', 'q,D1,saw,"'])
@pytest.mark.parametrize("more", [0, 1, 50])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_quote_that_is_never_closed_is_named_with_its_row(tmp_path, last, more, end):
    content = HEADER + "\n".join([*make_lines(20), last, *make_lines(more, 100)]) + end
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=r"row 22\b.*a quote opens and is never closed"):
        read_rows(path)
    found, rejected = read_rows(path, SET_ASIDE)
    assert ([number for number, _ in found], [row.row for row in rejected]) == (list(range(2, 22)), [22])


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_a_field_of_megabytes_is_read(tmp_path, size):
    lines = make_lines(3)
    lines[1] = f'q,D1,"{"x" * size}",2'
    found, _ = read_rows(write(tmp_path, HEADER + "\n".join(lines)))
    assert [len(values[2]) for _, values in found] == [19, size, 19]


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("before", [0, 5, 100_000])
def test_a_record_that_is_too_long_is_named_with_its_row(tmp_path, before, quote):
    lines = [*make_lines(before), "ragged", f"q,D1,{quote}{'x' * 18_000_000},2", *make_lines(2)]
    path = write(tmp_path, HEADER + "\n".join(lines))
    with pytest.raises(InputError, match=f"row {before + 3}: is longer than 8 MB"):
        read_rows(path, SET_ASIDE)


def test_quotes_that_are_never_closed_in_the_header_are_told(tmp_path):
    with pytest.raises(InputError, match="row 1: the quote that opens in the header is never closed"):
        read_file(write(tmp_path, 'query,"document,grade\n' + "a,b,1\n" * 100_000))
    with pytest.raises(InputError, match=r"row 1: a quote in the header runs over 3 lines"):
        read_file(write(tmp_path, 'query,"document,grade\nred hammer,red hammer number one,3\nq,d",2\n' * 2))


def test_quoted_names_of_a_tsv_ask_for_quoting(tmp_path):
    path = write(tmp_path, '"query"\t"document"\t"grade"\n"a"\t"b"\t1\n', "t.tsv")
    with pytest.raises(InputError, match=r"the column names stand in quotes: .*expected --quoting double"):
        read_file(path)
    assert read_rows(path, quoting="double")[0] == [(2, ("a", "b", "1"))]
    assert read_file(path, TextForm(quoting="none")).columns == ('"query"', '"document"', '"grade"')


def test_quoted_values_of_a_tsv_are_told(tmp_path):
    path = write(tmp_path, 'query\tdocument\tgrade\na\t"b ""c"""\t1\n', "t.tsv")
    [finding] = read_file(path).findings
    assert (finding.name, finding.count, finding.examples) == ("values in double quotes", 1, ('"b ""c"""',))
    assert read_rows(path)[0] == [(2, ("a", '"b ""c"""', "1"))]


def test_random_tables_read_as_they_were_written(tmp_path):
    rng = random.Random(17)
    alphabet = ["a", "b", " ", ",", ";", '"', "\n", "\r\n", "é", "\t", "|", "1"]
    for number in range(150):
        delimiter = rng.choice(",;\t|")
        table = [
            [f"q{n}", "".join(rng.choices(alphabet, k=rng.randint(1, 12))), f"D{n}", str(n % 3)] for n in range(25)
        ]
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, delimiter=delimiter, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        writer.writerows([["query", "text", "id", "grade"], *table])
        found, _ = read_rows(write(tmp_path, stream.getvalue(), f"{number}.csv"), quoting="double")
        assert [list(values) for _, values in found] == table


# Delimiters and numbers


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_told(tmp_path, name, delimiter):
    path = write_csv(tmp_path / name, TABLE, delimiter)
    records = load(path)
    assert as_triples(records) == EXPECTED
    told = [finding for finding in records.findings if finding.name == DELIMITER]
    assert len(told) == (delimiter != ("," if name == "t.csv" else "\t"))


def test_the_finding_names_the_columns():
    finding = next(finding for finding in load(CASES / "semicolon.csv").findings if finding.name == DELIMITER)
    assert finding.action.endswith("semicolons, not commas. Its columns: 'query', 'document_id', 'title', 'grade'.")


@pytest.mark.parametrize(("given", "character"), [("^", "^"), ("tab", "\t"), ("\\t", "\t"), (":", ":"), (" ", " ")])
def test_a_delimiter_can_be_given(tmp_path, given, character):
    table = [{"query": f"q{n}", "document": f"d,;|{n}", "grade": n % 3} for n in range(9)]
    path = write_csv(tmp_path / "t.csv", table, character)
    expected = [(row["query"], row["document"], float(row["grade"])) for row in table]
    assert as_triples(load(path, delimiter=given)) == expected


@pytest.mark.parametrize("given", ["", "ab", '"', "\n", "¦"])
def test_what_is_no_delimiter_is_refused(tmp_path, given):
    with pytest.raises(InputError, match=r"--delimiter is .*expected one ASCII character"):
        load(write(tmp_path, "query,document,grade\na,b,1\n"), delimiter=given)


def test_commas_inside_values_do_not_make_them_the_delimiter(tmp_path):
    path = write(tmp_path, "query;document;grade\n" + "".join(f"hammer, red;Hammer 5,{n};{n}\n" for n in range(9)))
    assert as_triples(load(path))[3] == ("hammer, red", "Hammer 5,3", 3.0)


@pytest.mark.parametrize(
    ("grades", "expected"),
    [(["2,5", "1", "0,25"], [2.5, 1.0, 0.25]), (["1.234,5", "2,0", "-1,5"], [1234.5, 2.0, -1.5]),
     (["2.5", "1", "3"], [2.5, 1.0, 3.0]), (["1,5e1", ",5", "+2"], [15.0, 0.5, 2.0])],
)  # fmt: skip
def test_decimal_commas_are_read_where_they_separate_nothing(tmp_path, grades, expected):
    path = write(tmp_path, "query;document;grade\n" + "".join(f"q;d {n};{grade}\n" for n, grade in enumerate(grades)))
    assert [grade for _, _, grade in as_triples(load(path))] == expected


@pytest.mark.parametrize("apart", [1, 120_000])
@pytest.mark.parametrize(("one", "other"), [("2,5", "2.5"), ("1.234,5", "0.5"), ("1.5", "2,5"), ("2,5", "1.234")])
def test_two_decimal_marks_in_a_column_are_refused(tmp_path, one, other, apart):
    lines = [f"q{n};a document with a long name number {n} {'d' * 60};1" for n in range(apart + 1)]
    lines[0], lines[apart] = f"q;d;{one}", f"q;e;{other}"
    with pytest.raises(InputError, match=f"row {apart + 2}, column 'grade': is '{other}', but another row has '{one}'"):
        load(write(tmp_path, "query;document;grade\n" + "\n".join(lines)))


def test_a_comma_in_a_number_stays_refused_where_commas_are_the_delimiter(tmp_path):
    with pytest.raises(InputError, match="row 2, column 'grade': is '2,5'"):
        load(write(tmp_path, 'query,document,grade\na,b,"2,5"\n'))


# Tables without a header


def test_columns_can_be_named():
    found, _ = read_rows(CASES / "triples.tsv", columns=("query", "positive", "negative"))
    assert len(found) == 40
    assert found[0] == (1, ("red hammer size 0", "red hammer number 0", "brass wrench number 3"))
    assert found[-1][0] == 40
    source = read_file(CASES / "triples.tsv", TextForm(columns=("query", "positive", "negative")))
    assert [finding.name for finding in source.findings] == ["columns named by --columns"]


def test_rows_of_a_table_without_a_header_are_numbered_from_1(tmp_path):
    path = write(tmp_path, "a,b,1\nc\nd,e,good\nf,g,2\n")
    records = load(path, columns=("query", "document", "grade"), on_bad_row="set-aside")
    assert as_triples(records) == [("a", "b", 1.0), ("f", "g", 2.0)]
    assert [(row.row, row.problem) for row in records.rejected] == [(2, "has 1 field"), (3, "is 'good'")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [(("query", "document"), "row 1: --columns gives 2 names, and the first line has 3 fields: 'a', 'b', '1'"),
     (("query", "document", "document"), "--columns names 'document' twice"), (("q", "", "g"), "an empty name")],
)  # fmt: skip
def test_names_that_do_not_fit_are_refused(tmp_path, columns, said):
    with pytest.raises(InputError, match=said):
        load(write(tmp_path, "a,b,1\n"), columns=columns)


def test_a_header_that_is_there_is_not_a_record(tmp_path):
    said = "row 1: the first line holds the names of --columns; expected --columns to be left out"
    with pytest.raises(InputError, match=said):
        load(write(tmp_path, "Query,Document,Grade\na,b,1\n"), columns=("query", "document", "grade"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [("red hammer,a red hammer,3\nsaw,a saw,1\n", True), ("query,document,label\na,b,c\n", False),
     ("saw,red saw,good\nsaw,blue saw,bad\n", True), ("Search term,Product Title,How good\na,b,c\n", False)],
)  # fmt: skip
def test_a_first_line_that_looks_like_a_record_is_known(tmp_path, content, expected):
    assert read_file(write(tmp_path, content)).headerless is expected


def test_the_shared_triples_look_headerless():
    assert read_file(CASES / "triples.tsv").headerless


def test_a_first_record_with_a_value_twice_says_how_to_name_columns(tmp_path):
    with pytest.raises(InputError, match=r"two columns are called 'red saw'.*--columns query,positive,negative"):
        read_file(write(tmp_path, "red saw,red saw,1\na,b,2\n"))


@pytest.mark.parametrize("options", [{"columns": ("a", "b")}, {"delimiter": ";"}, {"quoting": "none"}])
def test_options_of_csv_are_refused_elsewhere(tmp_path, options):
    with pytest.raises(InputError, match="is given for a JSONL file"):
        load(write(tmp_path, '{"query": "a", "document": "b", "grade": 1}', "t.jsonl"), **options)
