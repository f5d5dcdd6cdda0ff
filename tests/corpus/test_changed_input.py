"""An input that changes while it is read, or between two runs, is refused with the truth; memory holds texts alone."""

import codecs
import gzip
import json
import os
import threading
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prompteol
from prompteol.errors import CorpusError

LINES = [f"line {number} é中\U0001f600" for number in range(1, 3001)]


def rows(count):
    return [{"text": f"t{number}"} for number in range(count)]


def edits(model, path, after):
    """Write to a file when ``encode`` is called for the ``after``-th time."""

    class Editing(type(model)):
        calls = 0

        def encode(self, *given, **options):
            Editing.calls += 1
            if Editing.calls == after:
                path.write_text(path.read_text() + "appended\n")
            return super().encode(*given, **options)

    return Editing(modules=list(model), device="cpu")


# Of the dimension, of the first shard, of the last one.
@pytest.mark.parametrize("call", [1, 2, 4])
def test_a_file_that_is_edited_meanwhile_is_refused_and_no_shard_is_mixed(static, tmp_path, call):
    path = tmp_path / "in.txt"
    path.write_text("a\nb\nc\n")
    with pytest.raises(CorpusError, match=r"in\.txt' was written to or removed while it was read"):
        prompteol.embed_corpus(edits(static, path, call), path, tmp_path / "out", shard_rows=1)
    assert len(list((tmp_path / "out").glob("*.parquet"))) == max(0, call - 2)
    path.write_text("a\nb\nc\n")
    assert len(prompteol.embed_corpus(static, path, tmp_path / "out", shard_rows=1)) == 3


def test_a_file_that_is_edited_while_the_model_loads(base, tmp_path, monkeypatch):
    from prompteol.corpus import embed

    path = tmp_path / "in.txt"
    path.write_text("a\n")
    load = embed.load_model

    def slow(*given, **options):
        path.write_text("a\nb\n")
        return load(*given, **options)

    monkeypatch.setattr(embed, "load_model", slow)
    with pytest.raises(CorpusError, match="was written to"):
        prompteol.embed_corpus(base, path, tmp_path / "out", device="cpu")
    monkeypatch.setattr(embed, "load_model", lambda *given, **options: path.unlink() or load(*given, **options))
    with pytest.raises(CorpusError, match=r"removed while|No such file"):
        prompteol.embed_corpus(base, path, tmp_path / "out", device="cpu")


def test_a_url_that_is_edited_meanwhile(static):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/edited/in.txt", b"a\nb\n")

    class Editing(type(static)):
        def encode(self, *given, **options):
            memory.pipe_file("/edited/in.txt", b"a\nc\n")
            return super().encode(*given, **options)

    with pytest.raises(CorpusError, match="was written to"):
        prompteol.embed_corpus(Editing(modules=list(static)), "memory://edited/in.txt", "memory://edited-out")


@pytest.mark.parametrize("count", [201, 250, 300, 301])
def test_a_longer_iterable_is_another_input(static, tmp_path, count):
    prompteol.embed_corpus(static, rows(200), tmp_path / "out", shard_rows=100)
    with pytest.raises(CorpusError, match="another input: 200 rows there, and more here; give another folder"):
        prompteol.embed_corpus(static, rows(count), tmp_path / "out", shard_rows=100)


def test_a_shorter_iterable_leaves_no_stray_shard(static, tmp_path, monkeypatch):
    monkeypatch.setattr("prompteol.corpus.planning._SAMPLE_ROWS", 10)

    def stops():
        yield from rows(250)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prompteol.embed_corpus(static, stops(), tmp_path / "out", shard_rows=100)
    with pytest.raises(CorpusError, match="another input, which had more than the 100 rows of this one"):
        prompteol.embed_corpus(static, rows(100), tmp_path / "out", shard_rows=100)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "txt.gz"])
@pytest.mark.parametrize("number", [1, 2000, 3000])
def test_half_of_a_surrogate_pair_is_a_fault_of_its_own_line(static, tmp_path, encoding, suffix, number):
    texts = list(LINES)
    texts[number - 1] = "a \ud800 b"
    lines = [json.dumps({"text": text}, ensure_ascii=False) if suffix == "jsonl" else text for text in texts]
    content = "\n".join(["text"] * (suffix == "csv") + lines).encode(encoding, "surrogatepass")
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE, "utf-32-le": codecs.BOM_UTF32_LE}
    content = {**marks, "utf-32-be": codecs.BOM_UTF32_BE, "utf-8": b""}[encoding] + content
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == "txt.gz" else content)

    corpus = prompteol.embed_corpus(static, path, tmp_path / "out", keep=["text"], column="text", on_error="skip")

    (fault,) = corpus.errors
    assert fault["at"] == f"line {number + (suffix == 'csv')}"
    assert "half of a surrogate pair" in fault["error"]
    assert corpus.column("text") == [text for text in texts if "\ud800" not in text]


def test_wide_text_that_ends_within_a_character_or_is_none(static, tmp_path):
    path = tmp_path / "in.txt"
    whole = "".join(f"{line}\n" for line in LINES).encode("utf-16")
    path.write_bytes(whole + b"x")
    corpus = prompteol.embed_corpus(static, path, tmp_path / "1", keep=["text"], on_error="skip")
    assert (len(corpus), [fault["at"] for fault in corpus.errors]) == (3000, ["line 3001"])

    path.write_bytes("a\nb\n".encode("utf-32") + b"\xff\xff\xff\x7f\n\0\0\0" + "c".encode("utf-32-le"))
    corpus = prompteol.embed_corpus(static, path, tmp_path / "2", keep=["text"], on_error="skip")
    assert corpus.column("text") == ["a", "b", "c"]
    assert [fault["at"] for fault in corpus.errors] == ["line 3"]

    # Characters that hold the byte of a newline.
    texts = ["\u0a0a\u0a41\u410a", "\u0a0a" * 5000, "\u0a00\u000b"]
    for encoding in ("utf-16", "utf-32"):
        path.write_bytes("\n".join(texts).encode(encoding))
        assert prompteol.embed_corpus(static, path, tmp_path / encoding, keep=["text"]).column("text") == texts


def peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["fault", "column", "kept", "parquet", "second"])
def test_memory_does_not_grow_with_what_is_not_embedded(static, tmp_path, kind):
    path, size, count = tmp_path / f"in.{'parquet' if kind == 'parquet' else 'jsonl'}", 400_000, 120
    line = json.dumps({"text": "t", "body": "x" * size})
    if kind == "parquet":
        bodies = [f"{number}" + os.urandom(size // 2).hex() for number in range(count)]
        pq.write_table(pa.table({"text": ["t"] * count, "body": bodies}), path)
        del bodies
    else:
        wide = {"fault": b'{"text": "' + b"\xff" * size + b'"}', "second": line.encode()}.get(kind, line.encode())
        path.write_bytes(b'{"text": "ok", "body": "x"}\n' + (wide + b"\n") * count)
    given = [path]
    if kind == "second":
        (tmp_path / "first.jsonl").write_text('{"text": "ok"}\n' * 10)
        given.insert(0, tmp_path / "first.jsonl")
    keep = ["body"] if kind == "kept" else []
    column = None if kind in ("parquet", "second") else "text"
    pool = pa.default_memory_pool()
    before = pool.max_memory()

    def work():
        prompteol.embed_corpus(static, given, tmp_path / "out", column=column, keep=keep, on_error="skip")

    assert peak(work) < 40 << 20
    if kind == "parquet":
        assert pool.max_memory() - before < 40 << 20


def test_a_pipe_and_a_file_of_long_faults_give_the_same_bytes(static, tmp_path, digest):
    path = tmp_path / "in.jsonl"
    path.write_bytes((b'{"text": "' + b"\xff" * 300_000 + b'"}\n' + b'{"text": "fine %d"}\n') * 40)
    options = {"precision": "int8", "column": "text", "on_error": "skip", "output_format": "npy"}
    prompteol.embed_corpus(static, path, tmp_path / "file", **options)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(path.read_bytes()))
    writer.start()
    prompteol.embed_corpus(static, tmp_path / "pipe", tmp_path / "pipe-out", format="jsonl", **options)
    writer.join()
    name = "shard-000000.npy"
    assert digest(tmp_path / "file")[name] == digest(tmp_path / "pipe-out")[name]
