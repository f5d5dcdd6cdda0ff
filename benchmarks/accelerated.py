"""Time stock sentence-transformers and the same model accelerated, in turns, by the clock and by CPU time.

python benchmarks/accelerated.py MODEL [--texts 64] [--rounds 3] [--threads 2] [--instructions 0 20 200]

MODEL is a folder or Hub name of a causal language model; last-token pooling and left padding are put behind it, as
Qwen3-Embedding has them. With --reranker it scores documents of 60 tokens behind a head of 150 instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling

import prompteol
from prompteol.benchmark import sentences

_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query. "
_DOCUMENT_TOKENS, _HEAD_TOKENS = 60, 150

Compute = Callable[[Any], np.ndarray]


def load(name: str, task: Any, dtype: str) -> Transformer:
    """Load a language model as sentence-transformers would, padded on the left."""
    options = {"model_kwargs": {"dtype": dtype}, "processor_kwargs": {"padding_side": "left"}}
    transformer = Transformer(name, transformer_task=task, **options)
    transformer.tokenizer.pad_token = transformer.tokenizer.pad_token or transformer.tokenizer.eos_token
    return transformer


def of_tokens(transformer: Transformer, count: int, text: str = _INSTRUCTION) -> str:
    """Return a text of about so many tokens."""
    ids = transformer.tokenizer(f"{text} " * count, add_special_tokens=False)["input_ids"][:count]
    return str(transformer.tokenizer.decode(ids))


def report(name: str, stock: Any, compute: Compute, rounds: int) -> None:
    """Run both in turns, once untimed, and print a row of the table."""
    models = stock, prompteol.accelerate(deepcopy(stock))
    expected, ours = (compute(model) for model in models)
    turns = [[timed(model, compute) for model in models] for _ in range(rounds)]
    cells = []
    for kind in (0, 1):
        ratios = [before[kind] / after[kind] for before, after in turns]
        cells.append(f"**{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f})")
    seconds = (f"{median(turn[place][0] for turn in turns):.2f}" for place in (0, 1))
    apart = float(np.abs(expected - ours).max() / np.abs(expected).max())
    print("|", " | ".join([name, *seconds, *cells, f"{apart:.0e}"]), "|", flush=True)


def timed(model: Any, compute: Compute) -> tuple[float, float]:
    """Return the seconds that a call takes, by the clock and of the CPU."""
    start = perf_counter(), process_time()
    compute(model)
    return perf_counter() - start[0], process_time() - start[1]


def embedding(options: argparse.Namespace) -> None:
    """Embed sentences behind instructions of several lengths."""
    transformer = load(options.model, "feature-extraction", options.dtype)
    pooling = Pooling(transformer.get_embedding_dimension(), "lasttoken")
    model = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    texts = sentences(options.texts)
    for tokens in options.instructions:
        prompt = of_tokens(transformer, tokens) if tokens else None

        def compute(model: Any, prompt: str | None = prompt) -> np.ndarray:
            return np.asarray(model.encode(texts, prompt=prompt, normalize_embeddings=True, show_progress_bar=False))

        report(f"instruction of {tokens} tokens", model, compute, options.rounds)


def reranking(options: argparse.Namespace) -> None:
    """Score documents against one query."""
    transformer = load(options.model, "text-generation", options.dtype)
    yes, no = (transformer.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in (" yes", " no"))
    model = CrossEncoder(modules=[transformer, LogitScore(yes, no)], device="cpu")
    query = of_tokens(transformer, _HEAD_TOKENS)
    pairs = [(query, of_tokens(transformer, _DOCUMENT_TOKENS, text)) for text in sentences(options.texts)]
    report(
        f"{options.texts} documents",
        model,
        lambda model: np.asarray(model.predict(pairs, show_progress_bar=False)),
        options.rounds,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--instructions", type=int, nargs="*", default=[0, 20, 200])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--reranker", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| | stock, s | accelerated, s | times stock by the clock | by CPU time | apart |\n|---|---|---|---|---|---|")
    (reranking if options.reranker else embedding)(options)


if __name__ == "__main__":
    main()
