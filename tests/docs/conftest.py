"""What the pages name: small models under the names of large ones, and files of a few lines."""

import csv
import gzip
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from page_blocks import is_installed
from page_shell import Shell
from prompteol import PromptEOL
from prompteol.testing import tiny_model

WHO = ("A man", "A woman", "The nurse", "Two dogs", "A child", "The pilot", "My neighbor", "An old lady")
DOES = (
    "plays the guitar",
    "makes music",
    "runs in the snow",
    "eats plants",
    "sees the storm",
    "sells stocks",
    "sleeps",
)
# More of them than a small model has dimensions, as whitening wants it.
SENTENCES = [f"{who} {what}." for who in WHO for what in DOES]
BASES = {
    "BASE": "llama",
    "HuggingFaceTB/SmolLM2-135M": "llama",
    "Qwen/Qwen2.5-0.5B-Instruct": "qwen2",
    "facebook/opt-1.3b": "opt",
    "facebook/opt-125m": "opt",
    "facebook/opt-2.7b": "opt",
}


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that some page names."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, architecture in BASES.items():
        tiny_model(folder / name, architecture)
    PromptEOL(folder / "BASE", device="cpu").save_pretrained(str(folder / "MODEL"))
    PromptEOL(folder / "BASE", template="promptreps", device="cpu").save_pretrained(str(folder / "PAIR"))
    for name in ("my-model", "path/to/this/folder"):
        shutil.copytree(folder / "MODEL", folder / name)
    shutil.copytree(folder / "MODEL", folder / "sentence-transformers" / "all-MiniLM-L6-v2")
    shutil.copytree(folder / "MODEL", folder / "Qwen" / "Qwen3-Embedding-0.6B")
    for name in ("sentences.txt", "texts.txt", "my.txt", "articles/plants.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(SENTENCES) + "\n")
    _tables(folder)
    return folder


def _tables(folder: Path) -> None:
    records = [{"id": str(number), "text": text, "body": text} for number, text in enumerate(SENTENCES)]
    lines = "".join(json.dumps({"id": one["id"], "text": one["text"]}) + "\n" for one in records)
    for name in ("a.jsonl", "b.jsonl", "corpus.jsonl", "sample.jsonl"):
        (folder / name).write_text(lines)
    (folder / "more").mkdir()
    (folder / "more" / "more.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    for name, text in (("corpus.jsonl", lines), ("big.txt", "\n".join(SENTENCES)), ("dump", "\n".join(SENTENCES))):
        with gzip.open(folder / f"{name}.gz", "wt") as file:
            file.write(text)
    pairs = [(a, b, 5.0 * (number % 7) / 6) for number, (a, b) in enumerate(pairwise(SENTENCES))]
    _table(folder / "sts-dev.csv", ["sentence1", "sentence2", "score"], pairs)
    _table(folder / "pairs.csv", ["sentence1", "sentence2", "left", "right"], [(a, b, a, b) for a, b, _ in pairs])
    _table(folder / "anchors.tsv", ["anchor", "positive"], [pair[:2] for pair in pairs], delimiter="\t")
    _table(folder / "news.csv", ["headline", "day"], [(text, "Monday") for text in SENTENCES])
    rows = [(a, b, f"Nothing of the kind {number}.") for number, (a, b, _) in enumerate(pairs)]
    for name in ("nli.csv", "nli_for_simcse.csv", "nli_triplets.csv"):
        _table(folder / name, ["sent0", "sent1", "hard_neg"], rows)
    words = ["Music", "Dogs", "Storm", "Plants"]
    (folder / "set.jsonl").write_text(
        "".join(json.dumps({"sentence": s, "word": w}) + "\n" for s, w in zip(SENTENCES, words, strict=False))
    )
    if is_installed("pyarrow"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        (folder / "parts").mkdir()
        pq.write_table(pa.Table.from_pylist(records), folder / "parts" / "0.parquet")


def _table(path: Path, header: list[str], rows: list, delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


@pytest.fixture(scope="session")
def shell() -> Iterator[Shell]:
    """Bash with the command line; its address has to be short, so not pytest's folder."""
    if sys.platform != "linux":
        pytest.skip("the shell blocks run on Linux")
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(Path(folder))
        yield shell
        shell.close()
