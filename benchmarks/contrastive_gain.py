"""What contrastive training gains: Spearman x 100 on development pairs before and after, over several seeds.

    python benchmarks/contrastive_gain.py BASE --data nli.csv --dev sts-dev.csv --epochs 3 --warmup-steps 0.1

Rows with a sentence whose hash stands in --without are left out: 16 hex digits a line, of SHA-1 over the sentence,
casefolded, runs of anything but [0-9a-z] turned into one space.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import statistics
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from prompteol.data import TrainingExamples, read_examples, read_pairs
from prompteol.training import Lora, Recipe, train


def key(sentence: str) -> str:
    """Return what a sentence is known by, whatever its case and marks."""
    letters = re.sub("[^0-9a-z]+", " ", sentence.casefold()).strip()
    return hashlib.sha1(letters.encode(), usedforsecurity=False).hexdigest()[:16]


def without(examples: TrainingExamples, hashes: Path) -> TrainingExamples:
    """Leave out every row that holds one of the sentences."""
    known = set(hashes.read_text(encoding="utf-8").split())
    rows = [row for row in zip(*examples.columns.values(), strict=True) if known.isdisjoint(map(key, row))]
    columns = dict(zip(examples.columns, map(list, zip(*rows, strict=True)), strict=True))
    return TrainingExamples(columns, examples.name, examples.license)


def main() -> None:
    """Train once a seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", help="default: the model that ships with the package")
    parser.add_argument("--data", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--without", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--warmup-steps", type=float, default=100)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lora-rank", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    examples, dev = read_examples(given.data), read_pairs(given.dev)
    if given.without is not None:
        examples = without(examples, given.without)
    table = Table("seed", "before", "after", "gain", "steps")
    gains = []
    for seed in given.seeds:
        recipe = Recipe(
            lora=Lora(given.lora_rank) if given.lora_rank else None,
            learning_rate=given.learning_rate,
            warmup_steps=given.warmup_steps if given.warmup_steps < 1 else int(given.warmup_steps),
            batch_size=given.batch_size,
            epochs=given.epochs,
            eval_steps=10**9,  # at the end only: no checkpoint is chosen, so that the gain is not a maximum of noise
            seed=seed,
        )
        with tempfile.TemporaryDirectory() as folder:
            done = train(given.base, Path(folder) / "out", examples, recipe, dev=dev, watch=lambda _: None)
        before, after = done.before, done.best
        if before is None or after is None or after.score is None:
            raise SystemExit("the development pairs gave no score")
        gains.append(after.score - before)
        table.add_row(str(seed), f"{before:.2f}", f"{after.score:.2f}", f"{gains[-1]:+.2f}", str(after.step))
    Console().print(table)
    spread = f", standard deviation {statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    print(f"{len(examples)} rows; gain {statistics.mean(gains):+.2f}{spread} over {len(gains)} seeds")


if __name__ == "__main__":
    main()
