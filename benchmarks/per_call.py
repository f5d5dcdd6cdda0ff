"""Time one text against stock sentence-transformers, and both adapters against ``encode``, in turns, by CPU time.

python benchmarks/per_call.py [--rounds 9]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time

import torch
from langchain_prompteol import PromptEOLEmbeddings
from llama_index.embeddings.prompteol import PromptEOLEmbedding
from sentence_transformers import SentenceTransformer

import prompteol


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> float:
    """Return the median over the rounds of the CPU time of the first over that of the second."""
    ratios = []
    for turn in range(rounds + 1):
        seconds = []
        for compute in (ours, theirs):
            start = process_time()
            compute()
            seconds.append(process_time() - start)
        if turn:
            ratios.append(seconds[0] / seconds[1])
    return median(ratios)


def main() -> None:
    """Print the three ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    folder = Path(prompteol.__file__).parent / "nano"
    model, stock = prompteol.PromptEOL(device="cpu"), SentenceTransformer(str(folder), device="cpu")
    one = "A man plays the guitar."
    many = [
        f"Sentence {number} says that a man plays guitar {number % 7} in park {number % 5}." for number in range(1000)
    ]
    langchain = PromptEOLEmbeddings.from_sentence_transformer(model)
    llama_index = PromptEOLEmbedding.from_sentence_transformer(model)
    for name, ours, theirs, turns in (
        ("one text, ours over stock", lambda: model.encode(one), lambda: stock.encode(one), 20 * rounds),
        (
            "1,000 texts, LangChain over encode",
            lambda: langchain.embed_documents(many),
            lambda: model.encode(many),
            rounds,
        ),
        (
            "1,000 texts, LlamaIndex over encode",
            lambda: llama_index.get_text_embedding_batch(many),
            lambda: model.encode(many),
            rounds,
        ),
    ):
        print(f"{name:36} {ratio(ours, theirs, turns):.3f}", flush=True)


if __name__ == "__main__":
    main()
