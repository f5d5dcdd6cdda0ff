"""Which columns are read, what separates them, and in which encoding: one rule for every command."""

import codecs
import itertools
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompteol.data import read_examples, read_pairs
from prompteol.errors import CorpusError
from prompteol.files import TextSource
from prompteol.files.tables import parse_delimiter


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(path, *columns, **options):
    return list(TextSource.open(path, None, columns, **options).rows())


# delimiters


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_header_says_what_separates_the_fields(tmp_path, delimiter, suffix):
    rows = [("id", "text"), ("1", "A man sings."), ("2", "A dog runs.")]
    path = write(tmp_path, f"a.{suffix}", "".join(delimiter.join(row) + "\n" for row in rows))

    assert read(path) == [("A man sings.",), ("A dog runs.",)]
    assert read(path, width=2) == [("A man sings.",), ("A dog runs.",)]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_pairs_and_examples_are_read_by_the_same_rule(tmp_path, delimiter):
    rows = [("sentence1", "sentence2"), *((f"A man, {n}.", f"A dog; {n}.") for n in range(9))]
    quoted = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    path = write(tmp_path, "a.csv", quoted)

    assert read_pairs(path).second[0] == "A dog; 0."
    assert read_examples(path).columns["anchor"][8] == "A man, 8."
    assert read(path, width=2)[1] == ("A man, 1.", "A dog; 1.")


@pytest.mark.parametrize("text", ["a; b", "a | b", "a\tb", "a; b; c"])
def test_a_single_column_may_hold_what_separates_elsewhere(tmp_path, text):
    path = write(tmp_path, "a.csv", f"text\n{text}\nplain\n")

    assert read(path) == [(text,), ("plain",)]
    assert read(write(tmp_path, "b.csv", f"a;b\n{text}\n"), "a;b", delimiter="comma") == [(text,)]


def test_a_header_that_holds_two_delimiters_is_refused_until_one_is_named(tmp_path):
    path = write(tmp_path, "a.csv", "id;text, raw\n1;a, b\n")

    with pytest.raises(CorpusError, match=r"holds ',' and ';'; say what separates .*--delimiter"):
        read(path)
    assert read(path, "text, raw") == [("a, b",)]
    assert read(path, "text, raw", delimiter=";") == [("a, b",)]
    with pytest.raises(CorpusError, match="--delimiter '#': expected comma, semicolon, tab, pipe"):
        read(path, delimiter="#")
    with pytest.raises(CorpusError, match="read as txt, which has no delimiter"):
        read(write(tmp_path, "a.txt", "a\n"), delimiter=";")
    assert [parse_delimiter(given) for given in ("tab", "\t", "\\t", "Comma", "|")] == ["\t", "\t", "\t", ",", "|"]


def is_text(cell: str) -> bool:
    """Whether a cell has letters and is no number, such as 0E0."""
    with suppress(ValueError):
        float(cell.replace(",", "."))
        return False
    return any(map(str.isalpha, cell))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1).filter(is_text)


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), delimiter=st.sampled_from(",;\t|"))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows, delimiter):
    import csv

    path = tmp_path_factory.mktemp("tables") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("left", "right"), *rows])

    assert list(TextSource.open(str(path), width=2).rows()) == rows


# encodings


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_utf_16_and_32_are_read_by_their_mark(tmp_path, encoding, name):
    texts = ["Ĉu vi ĊĊ komprenas? 你好 😀", "second"]
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    mark |= {"utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE}
    lines = {"a.txt": texts, "a.csv": ["text", *texts], "a.jsonl": [json.dumps({"text": text}) for text in texts]}
    path = write(tmp_path, name, mark[encoding] + "\r\n".join(lines[name]).encode(encoding))

    assert read(path) == [(text,) for text in texts]


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be", "utf-32le", "utf-32be"])
@pytest.mark.parametrize("text", ["A man sings.\nA dog.\n", "A man sings", "你好\n再见吧\nąę\n"])
def test_a_wide_encoding_without_its_mark_is_never_called_latin(tmp_path, encoding, text):
    path = write(tmp_path, "a.txt", text.encode(encoding))

    with pytest.raises(CorpusError, match=rf"a NUL byte.*iconv -f {encoding} -t utf-8") as caught:
        read(path)
    assert "latin1" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_alone_is_no_text(tmp_path, encoding):
    with pytest.raises(CorpusError, match="holds no text"):
        read(write(tmp_path, "a.txt", "".encode(encoding)))


def test_damaged_utf_16_names_its_line(tmp_path):
    path = write(tmp_path, "a.txt", codecs.BOM_UTF16_LE + "one\ntwo\n".encode("utf-16-le") + b"x")

    with pytest.raises(CorpusError, match="line 3: damaged UTF-16"):
        read(path)


# names


@pytest.mark.parametrize("name", ["Text", " TEXT", "Sentence"])
def test_names_count_in_any_case(tmp_path, name):
    csv, jsonl = (
        write(tmp_path, "a.csv", f"ID,{name}\n1,a\n"),
        write(tmp_path, "a.jsonl", json.dumps({"ID": "1", name: "a"})),
    )

    for path, width in itertools.product((csv, jsonl), (1, 2)):
        assert read(path, width=width) == [("a",)]
        assert read(path, "id") == [("1",)]


def test_an_exact_name_comes_first_and_two_alike_are_not_guessed(tmp_path):
    path = write(tmp_path, "a.csv", "text,Text\na,b\n")

    assert read(path, "Text") == [("b",)]
    with pytest.raises(CorpusError, match="'TEXT' 'text' or 'Text'"):
        read(path, "TEXT")


def test_a_name_that_is_there_twice_is_an_error(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    for path in (write(tmp_path, "a.csv", "text,text\na,b\n"), str(tmp_path / "a.parquet")):
        with pytest.raises(CorpusError, match="2 columns are named 'text'"):
            read(path)
    with pytest.raises(CorpusError, match="line 2: the key 'text' is there twice"):
        read(write(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "a", "text": "b"}\n'))


@pytest.mark.parametrize("names", ["text,Text", "text, text", "Sentence,text,SENTENCE"])
def test_names_that_differ_in_case_or_blanks_alone_are_not_guessed(tmp_path, names):
    cells = ",".join("abc"[: names.count(",") + 1])
    record = json.dumps(dict.fromkeys(names.split(","), "a"))
    for path in (write(tmp_path, "a.csv", f"{names}\n{cells}\n"), write(tmp_path, "a.jsonl", record)):
        for width in (1, 2):
            with pytest.raises(CorpusError, match=r"columns are named '.*' and '.*': name the one to read"):
                read(path, width=width)
        exact = names.split(",")[-1]
        assert read(path, exact) == ([("a",)] if path.endswith("l") else [(cells[-1],)])


@pytest.mark.parametrize("header", ["key;body", "uuid,body", "id\ttitle", "query,uuid", "links|rechts"])
def test_columns_without_a_common_name_are_never_compared(prompteol, base, tmp_path, header):
    delimiter = next(filter(None, (one for one in ";,\t|" if one in header)))
    row = delimiter.join(["7f3c-a1", "A man sings."])
    path = write(tmp_path, "a.csv", f"{header}\n{row}\n{row}\n")

    refused = prompteol("similarity", path, "-m", base)
    named = itertools.chain(*(("-c", name) for name in header.split(delimiter)))

    assert refused.exit_code == 2
    assert "name the two columns to compare with --column; its columns:" in " ".join(refused.stderr.split())
    assert prompteol("similarity", path, *named, "-m", base).exit_code == 0
    with pytest.raises(CorpusError, match="--column"):
        read_pairs(path)
    with pytest.raises(CorpusError, match="--column"):
        read_examples(path)


@pytest.mark.parametrize("separator", [":", "^", "~"])
def test_a_header_with_another_separator_is_no_single_column(tmp_path, separator):
    path = write(tmp_path, "a.csv", f"id{separator}text\n1{separator}A man; he sings.\n")

    with pytest.raises(CorpusError, match=r"seems to separate columns, where only comma, semicolon, tab, pipe may"):
        read(path)
    assert read(path, f"id{separator}text") == [(f"1{separator}A man; he sings.",)]
    assert read(write(tmp_path, "b.csv", "text: english\na:b; c\n")) == [("a:b; c",)]


def test_the_line_that_excel_reads_is_no_header(prompteol, base, tmp_path):
    path = write(tmp_path, "a.csv", "\ufeffsep=;\r\nid;text\r\n1;A man sings.\r\n")

    for options in ((), ("--delimiter", ";"), ("--column", "text")):
        refused = prompteol("encode", path, "-o", "-", "-m", base, *options)
        assert (refused.exit_code, "'sep=;' is for Excel alone" in " ".join(refused.stderr.split())) == (2, True)


def test_a_missing_key_is_named_with_those_that_are_there(tmp_path):
    with pytest.raises(CorpusError, match="line 2: no key 'text', which the first line has; its keys: 'txt'"):
        read(write(tmp_path, "a.jsonl", '{"text": "a"}\n{"txt": "b"}\n'))
    with pytest.raises(CorpusError, match="no column 'text'; its columns: 'txt'"):
        read(write(tmp_path, "b.jsonl", '{"txt": "b"}\n'), "text")


def test_a_column_of_numbers_is_a_text_only_when_named(tmp_path):
    both, numbers = write(tmp_path, "a.csv", "left,right\n1,a\n2,b\n"), write(tmp_path, "b.csv", "text\n1\n\n2.5\n")

    with pytest.raises(CorpusError, match="'left' holds '1', '2', which are no texts"):
        read(both, width=2)
    with pytest.raises(CorpusError, match=r"'text' holds '1', '2\.5', which are no texts"):
        read(numbers)
    assert read(numbers, "text") == [("1",), ("2.5",)]
    assert read(write(tmp_path, "c.csv", "text\n1\nMay 2\n")) == [("1",), ("May 2",)]
    assert read(write(tmp_path, "d.txt", "1\n2\n")) == [("1",), ("2",)]


@pytest.mark.parametrize("header", ["A man is playing a guitar.", "1,A man sings.", "你好，今天天气怎么样呢朋友们"])
@pytest.mark.parametrize("width", [1, 2])
def test_a_table_without_a_header_loses_no_row(tmp_path, header, width):
    path = write(tmp_path, "a.csv", f"{header}\n{header}\n")

    with pytest.raises(CorpusError, match="the first line holds the names of the columns"):
        read(path, width=width)


def test_similarity_and_encode_read_the_same_column(prompteol, base, tmp_path):
    path = write(tmp_path, "a.csv", "id,text\n1,A man sings.\n2,A dog runs.\n")

    matrix = prompteol("similarity", path, "-m", base)
    encoded = prompteol("encode", path, "-o", "-", "-m", base)

    assert len(matrix.stdout.splitlines()) == 2
    assert matrix.stdout.splitlines()[0].startswith("1.0")
    assert [json.loads(line)["text"] for line in encoded.stdout.splitlines()] == ["A man sings.", "A dog runs."]


def test_commands_take_a_delimiter(prompteol, base, tmp_path):
    path = write(tmp_path, "a.csv", "id;text, raw\n1;A man, a song.\n")

    refused = prompteol("encode", path, "-o", "-", "-m", base)
    done = prompteol("encode", path, "-o", "-", "-m", base, "--delimiter", "semicolon", "--column", "text, raw")

    assert (refused.exit_code, "--delimiter" in refused.stderr) == (2, True)
    assert json.loads(done.stdout)["text"] == "A man, a song."
