"""Every row at fault is named with its file and line, or left out and listed; nothing is dropped in silence."""

import gzip
import json
import lzma
import os
import random
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prompteol
from prompteol import PromptEOL
from prompteol.errors import CorpusError, NonFiniteError

SOUND = b'{"text": "fine"}\n'
LINES = [
    (b'{"text": null}\n', "'text' is null"),
    (b'{"text": 3}\n', "should be a string, not int 3"),
    (b'{"other": "x", "more": 1}\n', "no column 'text'; its columns: 'other', 'more'"),
    (b'{"text": "\\ud800"}\n', "half of a surrogate pair"),
    (b'{"text": "caf\xe9"}\n', "byte 0xe9 is not UTF-8"),
    (b'{"text": "a\xe2\x82"}\n', "byte 0xe2 is not UTF-8"),
    (b"[1, 2]\n", "expected an object"),
    (b'{"text": "cut\n', "not JSON"),
    (b'{"text": "a", "text": "b"}\n', "'text' is there twice"),
    (b'{"text": "\0"}\n', "a NUL byte"),
    (b"[" * 100_000 + b"\n", "not JSON"),
]


@pytest.mark.parametrize(("line", "said"), LINES)
def test_a_row_at_fault_stops_with_file_and_line_or_is_listed(model, tmp_path, line, said):
    path = tmp_path / "in.jsonl"
    path.write_bytes(SOUND * 12 + line + SOUND * 3)

    with pytest.raises(CorpusError, match=r"in\.jsonl', line 13: ") as error:
        prompteol.embed_corpus(model, path, tmp_path / "out", column="text", shard_rows=5)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    corpus = prompteol.embed_corpus(model, path, tmp_path / "out", column="text", shard_rows=5, on_error="skip")

    assert corpus.ids == [*range(12), 13, 14, 15]
    (listed,) = corpus.errors
    assert (listed["row"], listed["file"], listed["at"]) == (12, str(path), "line 13")
    assert said in listed["error"]
    assert (corpus.manifest["rows"], corpus.manifest["errors"], corpus.manifest["rows_read"]) == (15, 1, 16)


def test_a_table_with_rows_at_fault(model, tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b'id,text\n1,"two\nlines"\n2\n3,caf\xe9\n4,a\0b\n5,"x"y\n6,last\n')

    corpus = prompteol.embed_corpus(model, path, tmp_path / "out", keep=["id"], on_error="skip")

    assert corpus.ids == ["1", "6"]
    assert [fault["at"] for fault in corpus.errors] == ["line 4", "line 5", "line 6", "line 7"]


def test_cells_of_parquet(model, tmp_path):
    cells = pa.array([b"fine", None, b"\xff", b"also"], pa.binary()).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 4, cells.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "in.parquet")

    corpus = prompteol.embed_corpus(model, tmp_path / "in.parquet", tmp_path / "out", on_error="skip")

    assert corpus.ids == [0, 3]
    assert [fault["at"] for fault in corpus.errors] == ["row 2", "row 3"]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_compressed_file_that_is_cut_off(model, tmp_path, suffix):
    text = "".join(f"line {number} {hash(str(number))}\n" for number in range(3000)).encode()
    packed = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": lambda b: pa.compress(b, "zstd", asbytes=True)}
    whole = packed[suffix](text)
    path = tmp_path / f"in.txt{suffix}"
    path.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(CorpusError, match=rf"in\.txt{suffix}', line \d+: damaged or cut off here"):
        prompteol.embed_corpus(model, path, tmp_path / "out", shard_rows=500)
    corpus = prompteol.embed_corpus(model, path, tmp_path / "out", shard_rows=500, on_error="skip")

    assert corpus.manifest["errors"] == 1
    assert corpus.manifest["rows_read"] == len(corpus) + 1
    path.write_bytes(whole)
    assert len(prompteol.embed_corpus(model, path, tmp_path / "2")) == 3000


def test_vectors_that_are_not_finite(base, tmp_path):
    class Odd(PromptEOL):
        def encode(self, inputs, **options):
            vectors = super().encode(inputs, **options)
            vectors[[text == "bad" for text in inputs]] = np.nan
            return vectors

    texts = ["good", "bad", "better", "bad", "best"]
    rows = [{"text": text} for text in texts]
    model = Odd(base, device="cpu")

    with pytest.raises(NonFiniteError, match="'rows', row 2: the embedding of 'bad' is not finite"):
        prompteol.embed_corpus(model, rows, tmp_path / "out")
    corpus = prompteol.embed_corpus(model, rows, tmp_path / "out", on_error="skip")

    assert corpus.ids == [0, 2, 4]
    assert [fault["row"] for fault in corpus.errors] == [1, 3]
    np.testing.assert_allclose(corpus.vectors[:], PromptEOL(base, device="cpu").encode(texts[::2]), atol=1e-5)


def test_a_kept_value_of_another_type_is_a_fault(model, tmp_path):
    rows = [{"id": 1, "text": "a"}, {"id": "b", "text": "b"}, {"id": None, "text": "c"}, {"text": "d"}]
    corpus = prompteol.embed_corpus(model, rows[:1] * 3000 + rows, tmp_path / "out", keep=["id"], on_error="skip")

    assert corpus.ids == [1] * 3001 + [None]
    assert [fault["row"] for fault in corpus.errors] == [3001, 3003]


def test_a_full_disk_is_one_line_and_whole_shards_stay(model, corpus_file, tmp_path, digest):
    options = {"keep": ["text"], "shard_rows": 20}
    prompteol.embed_corpus(model, corpus_file, tmp_path / "whole", **options)
    small = min(path.stat().st_size for path in (tmp_path / "whole").glob("*.parquet"))
    corpus_file.write_bytes(corpus_file.read_bytes() + json.dumps({"text": "x" * 9}).encode() + b"\n" * 1)
    rows = [{"text": "x"}] * 20 + [{"text": str(number) * 60} for number in range(200)]
    prompteol.embed_corpus(model, rows, tmp_path / "expected", keep=["text"], shard_rows=20)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (small, hard))
    try:
        with pytest.raises(CorpusError, match=r"was not written: .*run the same command to go on") as error:
            prompteol.embed_corpus(model, rows, tmp_path / "out", keep=["text"], shard_rows=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("*.partial"))

    prompteol.embed_corpus(model, rows, tmp_path / "out", keep=["text"], shard_rows=20)
    assert digest(tmp_path / "out") == digest(tmp_path / "expected")


@settings(max_examples=25)
@given(lines=st.lists(st.sampled_from([SOUND, *(line for line, _ in LINES)]) | st.binary(max_size=20), min_size=1))
def test_rows_in_are_rows_out_and_rows_listed(model, tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "in.jsonl"
    path.write_bytes(b"".join(lines))
    with path.open("rb") as file:
        rows = sum(1 for line in file if line.removeprefix(b"\xef\xbb\xbf").strip())
    if not rows or path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return

    corpus = prompteol.embed_corpus(model, path, folder / "out", column="text", shard_rows=3, on_error="skip")

    assert len(corpus) + len(corpus.errors) == rows
    assert sorted([*corpus.ids, *(fault["row"] for fault in corpus.errors)]) == list(range(rows))


def test_of_many_hostile_rows_each_is_embedded_or_listed(static, tmp_path):
    count = int(os.environ.get("PROMPTEOL_TEST_HOSTILE_ROWS", "4000"))
    chance = random.Random(3)
    bad = [line for line, _ in LINES[:-1]]
    sound = [
        SOUND,
        SOUND.replace(b"\n", b"\r\n"),
        '{"text": "\u00fc\u4e2d\U0001f600\u2028"}\n'.encode(),
        b'{"text": ""}\n',
    ]
    lines = [chance.choice(bad if chance.random() < 0.1 else sound) for _ in range(count // 2)]
    lines[count // 4] = b'{"text": "' + b"five megabytes " * 350_000 + b'"}\n'
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    cells = [b"fine", b'"two\nlines"', b"a,b", b"caf\xe9", b"a\0b", b"half \xe2\x82", b'"x"y', b"\xf0\x9f\x98\x80"]
    cells = [chance.choice(cells) for _ in range(count // 4)]
    (tmp_path / "b.csv").write_bytes(b"id,text\n" + b"".join(b"%d,%s\n" % (n, cell) for n, cell in enumerate(cells)))
    texts = [f"line {chance.random()}" for _ in range(count - count // 2 - count // 4)]
    packed = gzip.compress("".join(f"{text}\n" for text in texts).encode())
    (tmp_path / "c.txt.gz").write_bytes(packed[: len(packed) // 2])

    corpus = prompteol.embed_corpus(
        static, tmp_path, tmp_path / "out", column="text", keep=["text"], shard_rows=1000, on_error="skip"
    )

    listed = corpus.errors
    assert len(corpus) + len(listed) == corpus.manifest["rows_read"]
    assert sorted([*corpus.column("row"), *(fault["row"] for fault in listed)]) == list(
        range(len(corpus) + len(listed))
    )
    at = {file: [fault["at"] for fault in listed if fault["file"].endswith(file)] for file in ("a.jsonl", "b.csv")}
    assert at["a.jsonl"] == [f"line {number}" for number, line in enumerate(lines, start=1) if line in bad]
    faulty = {b"a,b", b"caf\xe9", b"a\0b", b"half \xe2\x82", b'"x"y'}
    assert len(at["b.csv"]) == sum(cell in faulty for cell in cells)
    unpacked = corpus.column("text")[-1]
    assert listed[-1]["at"] == f"line {texts.index(unpacked) + 2}"
    assert "damaged or cut off" in listed[-1]["error"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id\n1\n2\n", "which are no texts; name the column"),
        ("A whole sentence for a header.\nAnother sentence.\n", "the first line holds the names of the columns"),
        ("text;text\na;b\n", "2 columns are named 'text'"),
        ("text,Text\na,b\n", "columns are named 'text' and 'Text': name the one to read with --column"),
        ("sep=;\nid;text\n1;a\n", "the first line 'sep=;' is for Excel alone: delete it"),
        ("id:text\n1:a b\n", "':' seems to separate columns"),
        ("a,b\nx,y\n", "name the column to read with --column; its columns: 'a', 'b'"),
    ],
)
def test_the_column_rules_are_those_of_every_command(model, tmp_path, content, said):
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises(CorpusError, match=said):
        prompteol.embed_corpus(model, tmp_path / "in.csv", tmp_path / "out")


@pytest.mark.parametrize("first", ["a.csv", "a.txt"])
def test_the_column_rules_hold_in_every_file(model, tmp_path, first):
    """A header that is a text would be lost, and years would be embedded, behind a file that is sound."""
    (tmp_path / first).write_text("text\nA dog.\n")
    for content, said in (("A whole sentence.\nAnother.\n", "the first line holds"), ("year\n1999\n", "are no texts")):
        (tmp_path / "b.csv").write_text(content)
        with pytest.raises(CorpusError, match=said):
            prompteol.embed_corpus(model, [tmp_path / first, tmp_path / "b.csv"], tmp_path / "out")


def test_delimiters_and_quotation_marks_are_read_as_elsewhere(model, tmp_path):
    (tmp_path / "a.csv").write_text("id;text\n1;one, two\n")
    (tmp_path / "b.tsv").write_text('id\ttext\n2\t"quoted\n3\tlast\n')
    corpus = prompteol.embed_corpus(model, [tmp_path / "a.csv", tmp_path / "b.tsv"], tmp_path / "out", keep=["text"])

    assert corpus.column("text") == ["one, two", '"quoted', "last"]


@pytest.mark.parametrize(
    "rows", [['{"id": "x", "text": "a"}', '{"id": "y"}'], ['{"id": "x"}', '{"id": "y", "text": "b"}']]
)
def test_an_id_is_not_embedded_in_place_of_a_text_that_is_missing(static, tmp_path, rows):
    (tmp_path / "in.jsonl").write_text("\n".join(rows))

    with pytest.raises(CorpusError, match=r"line 2: '\w+' would be read here, and '\w+' of the rows before: give"):
        prompteol.embed_corpus(static, tmp_path / "in.jsonl", tmp_path / "out")


def test_every_stream_of_an_xz_archive_is_read_or_listed(static, tmp_path):
    first, second = lzma.compress(b"a\nb\n"), lzma.compress(b"c\nd\n")
    path = tmp_path / "in.txt.xz"
    path.write_bytes(first + b"\0\0\0\0" + second + b"\0\0\0\0")
    assert len(prompteol.embed_corpus(static, path, tmp_path / "padded")) == 4

    for number, rest in enumerate([b"XX" + second[2:], second[:20] + b"XX" + second[22:], second[:9]]):
        path.write_bytes(first + rest)
        corpus = prompteol.embed_corpus(static, path, tmp_path / str(number), on_error="skip")
        assert [fault["at"] for fault in corpus.errors] == ["line 3"]
        assert len(corpus) == 2


def test_a_header_that_cannot_be_read_is_refused_with_its_file(static, tmp_path):
    for content, said in [(b"caf\xe9,text\n1,a\n", "byte 0xe9"), (b'"te"xt\na\nb\n', "damaged table")]:
        (tmp_path / "in.csv").write_bytes(content)
        with pytest.raises(CorpusError, match=rf"in\.csv', line 1: {said}"):
            prompteol.embed_corpus(static, tmp_path / "in.csv", tmp_path / "out", on_error="skip")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_file_whose_name_is_no_utf8(static, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    try:
        with open(path, "wb") as file:
            file.write(b"a\n\xff\nb\n")
    except OSError:
        pytest.skip("the file system takes no such name")
    corpus = prompteol.embed_corpus(static, path, tmp_path / "out", on_error="skip")

    assert corpus.errors[0]["file"] == corpus.manifest["sources"][0]["name"] == path
    assert corpus.ids == prompteol.embed_corpus(static, path, tmp_path / "out", on_error="skip").ids == [0, 2]


def test_kept_numbers_of_any_size_and_library(static, tmp_path):
    rows = [{"text": "a", "n": 0.5, "id": 2**64 - 1, "k": np.int32(7)}, {"text": "b", "n": 1, "id": 3, "k": 8}]
    huge = {"text": "c", "n": 10**400, "id": 4, "k": 9}
    corpus = prompteol.embed_corpus(
        static, [*rows * 1024, huge], tmp_path / "out", keep=["n", "id", "k"], on_error="skip"
    )

    assert [corpus.column(name)[:2] for name in ("n", "id", "k")] == [[0.5, 1.0], [2**64 - 1, 3], [7, 8]]
    assert [fault["row"] for fault in corpus.errors] == [2048]


def test_rows_of_a_program_may_hold_anything(static, tmp_path):
    loop = {"text": "b"}
    loop["self"] = loop
    rows = [{("a", 1): 0, "text": "a"}, loop, {1: 2, "text": "c"}]
    for _ in range(2):
        assert len(prompteol.embed_corpus(static, rows, tmp_path / "out")) == 3
    with pytest.raises(CorpusError, match=r"inputs is a bytes.* frame\.to_dict\('records'\)"):
        prompteol.embed_corpus(static, b"text", tmp_path / "bytes")


def test_columns_of_parquet_in_another_case(static, tmp_path):
    pq.write_table(pa.table({"ID": [1, 2], "Text": ["a", "b"]}), tmp_path / "in.parquet")
    corpus = prompteol.embed_corpus(static, tmp_path / "in.parquet", tmp_path / "out", column="text", keep=["id"])
    assert corpus.ids == [1, 2]

    with pytest.raises(CorpusError, match="row 1: no column 'body'; its columns: 'ID'"):
        prompteol.embed_corpus(static, tmp_path / "in.parquet", tmp_path / "other", column="body", keep=["id"])
