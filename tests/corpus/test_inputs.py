"""Files of all formats together, through links and globs; an archive of no bytes is at fault."""

import gzip
import io
import itertools
import lzma
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prompteol
from prompteol.errors import CorpusError
from prompteol.files.compression import DAMAGE, decompressed

PACKED = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
}
FORMATS = {
    "txt": "{text}\n",
    "csv": "id,{column}\n1,{text}\n",
    "tsv": "{column}\tid\n{text}\t1\n",
    "jsonl": '{{"{column}": "{text}", "id": 1}}\n',
}


@pytest.fixture
def files(tmp_path):
    """Return a function that writes a text in every format and compression, as the only row of a file."""

    def write(column):
        paths = []
        for kind, suffix in itertools.product(FORMATS, ["", *PACKED]):
            paths.append(tmp_path / f"in.{kind}{suffix}")
            content = FORMATS[kind].format(column=column, text=f"Text of {paths[-1].name}").encode()
            paths[-1].write_bytes(PACKED[suffix](content) if suffix else content)
        paths.append(tmp_path / "in.parquet")
        pq.write_table(pa.table({column: ["Text of in.parquet"]}), paths[-1])
        return paths

    return write


@pytest.mark.parametrize("column", ["text", "sentence", "Sentence", "only"])
def test_every_mix_of_formats_is_searched(static, files, tmp_path, monkeypatch, column):
    monkeypatch.setenv("PROMPTEOL_CACHE", str(tmp_path / "cache"))
    paths = [path for path in files(column) if column != "only" or path.name.startswith(("in.txt", "in.parquet"))]
    mixes = [paths, paths[::-1], *itertools.permutations(paths[::4], 2), *([path] for path in paths)]
    for mix in mixes:
        (hits,) = prompteol.search_corpus("Text", mix, model=static, k=100)
        assert sorted(hit.text for hit in hits) == sorted(f"Text of {path.name}" for path in mix)


def test_the_text_is_kept_whatever_its_column_is_called(static, files, tmp_path):
    paths = files("sentence")
    corpus = prompteol.embed_corpus(static, paths, tmp_path / "out", keep=["text"])
    assert corpus.column("text") == [f"Text of {path.name}" for path in paths]

    with pytest.raises(CorpusError, match="no column 'sentence'; its columns: 'text'"):
        prompteol.embed_corpus(static, paths, tmp_path / "named", column="sentence")


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("content", [b"", b"a\nb\n", b"a\nb\n" * 2000])
def test_no_beginning_of_an_archive_passes_for_a_whole_one(suffix, content):
    whole = PACKED[suffix](content)
    assert decompressed(io.BufferedReader(io.BytesIO(whole)), suffix).read() == content
    for end in range(len(whole)):
        with pytest.raises(DAMAGE):
            decompressed(io.BufferedReader(io.BytesIO(whole[:end])), suffix).read()


@pytest.mark.parametrize("name", [f"b.{kind}{suffix}" for kind in FORMATS for suffix in PACKED])
def test_an_archive_of_no_bytes_is_at_fault(static, tmp_path, name):
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / name).touch()
    sources = [tmp_path / "a.txt", tmp_path / name, tmp_path / "a.txt"]

    with pytest.raises(CorpusError, match=rf"{name}', line 1: damaged or cut off here") as error:
        prompteol.embed_corpus(static, sources, tmp_path / "out")
    assert "\n" not in str(error.value)
    corpus = prompteol.embed_corpus(static, sources, tmp_path / "out", on_error="skip")

    assert corpus.ids == [0, 2]
    assert [(fault["file"], fault["at"]) for fault in corpus.errors] == [(str(tmp_path / name), "line 1")]


@pytest.fixture
def linked(tmp_path):
    """Return a folder with links to a file, to folders of the same depth and above, to itself and to nothing."""
    (tmp_path / "in" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "away" / "below").mkdir(parents=True)
    for name in ("in/a.txt", "in/deep/er/b.txt", "away/c.txt", "away/below/d.txt", "in/.hidden.txt"):
        (tmp_path / name).write_text(f"{name[-5]}\n")
    for link, target in {"in/link": "away", "in/deep/up": "in", "away/loop": "away", "in/e.txt": "away/c.txt"}.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    return tmp_path / "in"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_to_folders_are_followed_without_loops(static, linked, tmp_path, monkeypatch):
    (tmp_path / "named").symlink_to(linked)
    monkeypatch.chdir(tmp_path)

    def read(inputs):
        corpus = prompteol.embed_corpus(static, inputs, tmp_path / f"out-{len(os.listdir(tmp_path))}", keep=["text"])
        return corpus.column("text"), [source["name"] for source in corpus.manifest["sources"]]

    texts = ["a", "b", "c", "d", "c"]
    names = ["a.txt", "deep/er/b.txt", "e.txt", "link/below/d.txt", "link/c.txt"]
    for top in ("in", "named", "./in/", str(linked), str(tmp_path / "named")):
        found, sources = read(top)
        assert sorted(found) == sorted(texts)
        assert sources == [os.path.normpath(Path(top, name)) for name in names]
    assert sorted(read("in/**/*.txt")[0]) == sorted(read("i*/**")[0]) == sorted(texts)
    assert read("in/l*/*.txt") == (["c"], ["in/link/c.txt"])
    assert read("in/**/er/*")[0] == ["b"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_nothing_is_named(static, linked, tmp_path):
    (linked / "f.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(CorpusError, match=r"cannot read '.*f\.txt': No such file"):
        prompteol.embed_corpus(static, linked, tmp_path / "out")


def test_a_folder_that_cannot_be_read_is_named(static, linked, tmp_path, monkeypatch):
    # The rights of a folder do not bind who runs tests as root.
    real = os.scandir

    def scandir(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(CorpusError, match=r"cannot read the folder '.*deep': Permission denied"):
        prompteol.embed_corpus(static, linked, tmp_path / "out")
