"""Texts come out of files as they stand there; what is wrong with a file is said with its name and line."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prompteol.errors import CorpusError
from prompteol.files import TextSource, chunks


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(path, *columns, **options):
    return list(TextSource.open(path, None, columns, **options).rows())


def test_plain_text_is_one_text_a_line_and_only_a_newline_ends_a_line(tmp_path):
    path = write(tmp_path, "a.txt", "\ufeffone\r\n\ntwo\x0b\u2028still two\nthree")

    assert read(path) == [("one",), ("",), ("two\x0b\u2028still two",), ("three",)]


def test_a_csv_field_may_hold_commas_quotes_and_newlines(tmp_path):
    path = write(tmp_path, "a.csv", 'id,text\n1,"a, ""b""\nc"\n2,d\n')

    assert read(path) == [('a, "b"\nc',), ("d",)]


def test_a_long_csv_field_is_sound(tmp_path):
    long = "word " * 40_000
    assert read(write(tmp_path, "a.csv", f"text\n{long}\n")) == [(long,)]


def test_a_tsv_is_separated_by_tabs(tmp_path):
    assert read(write(tmp_path, "a.tsv", "left\tright\na\tb, c\n"), width=2) == [("a", "b, c")]


def test_json_lines_give_the_named_columns_in_the_asked_order(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": "1", "b": "{{ 2 }}"}\n\n{"b": "4", "a": "3"}\n')

    assert read(path, "b", "a") == [("{{ 2 }}", "1"), ("4", "3")]


def test_parquet_gives_its_text_column(tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "text": ["a", "b"]}), tmp_path / "a.parquet")

    assert read(str(tmp_path / "a.parquet")) == [("a",), ("b",)]


def test_standard_input_is_read_once_as_plain_text(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("é\nb\n".encode())))
    source = TextSource.open("-")

    assert not source.rereadable
    assert list(source.texts()) == ["é", "b"]


def test_the_format_can_be_named_where_the_suffix_says_nothing(tmp_path):
    path = write(tmp_path, "a.log", json.dumps({"text": "x"}))

    assert list(TextSource.open(path, "jsonl").texts()) == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"fine\ncaf\xe9\n", r"a\.txt', line 2: byte 0xe9 is not UTF-8.*iconv"),
        ("a.txt", "", "a.txt' holds no text"),
        ("a.csv", "", "a.csv' holds no text"),
        ("a.csv", "text\n", "a.csv' holds no text"),
        ("a.csv", "a,b\n1,2\n", "name the column to read with --column; its columns: 'a', 'b'"),
        ("a.csv", "id,text\n1,2\n3\n", r"a\.csv', line 3: 1 fields, where the header has 2"),
        ("a.csv", 'text\n"never closed\n', r"a\.csv', line 2: damaged table"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', r"a\.jsonl', line 2: not JSON"),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', r"a\.jsonl', line 2: expected an object"),
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', r"a\.jsonl', line 2: 'text' should be a string, not None"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', r"a\.jsonl', line 1: 'text' holds half of a surrogate pair"),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl', line 1: not JSON"),
        ("a.parquet", b"PAR1 this is none", "no readable parquet file"),
        ("a.docx", "x", r"'docx' is none of the formats txt, csv, tsv, jsonl, parquet.*--format"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_line(tmp_path, name, content, said):
    path = write(tmp_path, name, content)

    with pytest.raises(CorpusError, match=said):
        read(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_wrong_column_is_answered_with_those_that_exist(tmp_path, name):
    if name == "a.parquet":
        pq.write_table(pa.table({"id": ["1"], "text": ["a"]}), tmp_path / name)
    else:
        write(tmp_path, name, "id,text\n1,a\n" if name == "a.csv" else '{"id": "1", "text": "a"}\n')

    with pytest.raises(CorpusError, match="no column 'title'; its columns: 'id', 'text'"):
        read(str(tmp_path / name), "title")


def test_a_parquet_column_without_strings_is_refused_with_its_row(tmp_path):
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")

    with pytest.raises(CorpusError, match="row 2: 'text' should be a string, not None"):
        read(str(tmp_path / "a.parquet"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no such file: 'nowhere\.txt'"):
        TextSource.open("nowhere.txt")
    with pytest.raises(CorpusError, match="is a folder"):
        TextSource.open(str(tmp_path))


def test_chunks_keep_the_order_and_lose_nothing():
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
