"""What embedding a corpus costs over ``encode`` on a list, and how much memory a long input takes.

    python benchmarks/corpus.py rate --rows 50000
    python benchmarks/corpus.py memory --rows 10000 1000000 --static

``rate`` embeds the same lines by ``encode`` on a list and by ``embed_corpus`` from a file, in turns. ``memory``
embeds a file and a pipe of so many lines, each in a process of its own, and shows the peak of its resident memory.
``--static`` takes a bag of random word vectors in place of the model that ships with the package: with it the
pipeline is nearly all that there is, so that a million lines take minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prompteol import PromptEOL, embed_corpus
from prompteol.corpus import CorpusProgress
from prompteol.corpus.progress import Meter

_WORDS = "a the storm floods town river quiet street child reads old letter train leaves late bread".split()  # noqa: SIM905


def lines(rows: int) -> Iterator[str]:
    """Yield so many lines of three to seven words, no two alike."""
    chance = random.Random(0)  # noqa: S311
    for row in range(rows):
        yield f"{' '.join(chance.choices(_WORDS, k=chance.randint(2, 6)))} {row}"


def static_model() -> Any:
    """Return a bag of random word vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(PromptEOL().tokenizer, embedding_dim=64)], device="cpu")


def write_lines(path: Path, rows: int) -> Path:
    """Write the lines to a file."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines(rows))
    return path


def rate(rows: int, turns: int, *, static: bool) -> None:
    """Embed the same lines both ways, in turns; by the clock, and by the processor's time where others compute too."""
    model = static_model() if static else PromptEOL()
    texts = list(lines(rows))
    rates: dict[str, list[tuple[float, float]]] = {"encode": [], "embed_corpus": []}
    model.encode(texts[:2048])
    with tempfile.TemporaryDirectory() as work:
        path = write_lines(Path(work, "lines.txt"), rows)
        for turn, (name, measured) in itertools.product(range(turns), rates.items()):
            began, began_cpu = time.perf_counter(), time.process_time()
            if name == "encode":
                model.encode(texts)
            else:
                embed_corpus(model, path, Path(work, str(turn)))
            measured.append((rows / (time.perf_counter() - began), rows / (time.process_time() - began_cpu)))
            print(f"{name}: {measured[-1][0]:,.0f} rows/s, {measured[-1][1]:,.0f} rows/CPU s", flush=True)
    for place, said in enumerate(("rows/s", "rows/CPU s")):
        one, other = (statistics.median(each[place] for each in measured) for measured in rates.values())
        print(f"median over {turns} turns: encode {one:,.0f}, embed_corpus {other:,.0f} {said}, {other / one - 1:+.1%}")


def memory(counts: list[int], *, static: bool) -> None:
    """Embed a file and a pipe of each length in processes of their own."""
    kind = ["--static"] if static else []
    with tempfile.TemporaryDirectory() as work:
        for rows, source in itertools.product(counts, ("file", "pipe")):
            path = write_lines(Path(work, "lines.txt"), rows)
            command = [sys.executable, __file__, "one", "--out", str(Path(work, f"{rows}-{source}")), *kind]
            with path.open("rb") as file:
                done = subprocess.run(  # noqa: S603
                    [*command, "--input", str(path) if source == "file" else "-"],
                    stdin=subprocess.DEVNULL if source == "file" else file,
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                    env=os.environ,
                )
            print(f"{source} of {rows:,} lines: {done.stdout.strip()}", flush=True)


def one(source: str, out: str, *, static: bool) -> None:
    """Embed one input in this process; print its peak memory and rate."""
    last: list[CorpusProgress] = [Meter().progress()]

    def keep_last(progress: CorpusProgress) -> None:
        last[0] = progress

    embed_corpus(static_model() if static else None, source, out, progress=keep_last)
    metrics = last[0].metrics()
    print(f"{metrics['peak_memory_bytes'] / 2**20:,.0f} MiB, {metrics['rows_per_second']:,.0f} rows/s")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "memory", "one"])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--input", default="-")
    parser.add_argument("--out", default="")
    given = parser.parse_args()
    if given.what == "rate":
        rate(given.rows[0], given.turns, static=given.static)
    elif given.what == "memory":
        memory(given.rows, static=given.static)
    else:
        one(given.input, given.out, static=given.static)


if __name__ == "__main__":
    main()
