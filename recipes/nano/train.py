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
# What the teacher embeds in ten minutes on two cores.
TEXTS = 380_000
# Pieces that are words of their own, and as common as this, may be the word after the prompt.
COMMON = 3.0
# Sentences in a batch, and stretches of running text beside them.
SENTENCES, STRETCHES = 256, 24
STRETCH_WORDS = 70
RECIPE = Recipe(
    objective="distillation", lora=None, learning_rate=8e-4, warmup_steps=100, batch_size=SENTENCES + STRETCHES,
    max_text_tokens=64, language_weight=0.2, word_weight=0.05, max_running_tokens=96, eval_steps=250, log_steps=20,
    seed=0,
)  # fmt: skip
ARGUMENTS = {
    "bf16": True, "adam_beta2": 0.98, "weight_decay": 0.01,
    # The next token's loss pulls at every piece in every step, mostly by next to nothing: only more than that counts.
    "adam_epsilon": 1e-5,
    "learning_rate_mapping": {r"embed_tokens": 4e-4},
}  # fmt: skip

LICENCES = (
    "SNLI CC BY-SA 4.0, counterfactual NLI Apache-2.0, WordNet 3.0 licence, MASC open, movie reviews CC BY 4.0, "
    "novels, Genesis and presidents' speeches public domain, word frequencies (wordfreq) CC BY-SA 4.0; "
    "captions, headlines and questions of our own grammar"
)


def main(
    data: Annotated[Path, typer.Option(help="Holds text/, train/ and evaluation_sentence_hashes.txt.")],
    dev: Annotated[Path, typer.Option(help="STS-B's sts-dev.csv, to watch and to choose the checkpoint by.")],
    teacher_model: Annotated[str, typer.Option("--teacher", help="A sentence-transformers model.")],
    out: Annotated[Path, typer.Option(help="Everything is kept here; what is there is not made again.")],
    wordnet: Annotated[Path, typer.Option(help="WordNet's database files.")] = Path("/usr/share/wordnet"),
    epochs: Annotated[float, typer.Option(help="Passes over the sentences.")] = 1.0,
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
    targets, table = np.split(fit_dimension(np.concatenate(vectors), DIMENSION, RECIPE.seed), [len(texts)])
    if not (out / "start").exists():
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        model = start.model_from_bag(bag.distil(rows, targets, table), tokenizer, _prompt(tokenizer))
        model.save_pretrained(out / "start")
        tokenizer.save_pretrained(out / "start")
    words = np.array([piece.isalpha() and len(piece) > 2 and zipf_frequency(piece, "en") > COMMON for piece in pieces])
    words &= np.array([tokenizer.convert_ids_to_tokens(piece).startswith("Ġ") for piece in range(len(tokenizer))])
    stretches = len(texts) * STRETCHES // SENTENCES
    running, heldout = corpus.running_text(data, wordnet, stretches, STRETCH_WORDS, _excluded(data))
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
    print(f"STS-B dev: {training.before} before, {training.best} after")


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
