"""Measure Hierarchical Token Prepending on SciFact: block summaries in early layers, mean pooling, beside none.

    python benchmarks/htp.py MODEL --documents 100 --queries 60 --layers -1 -3

Ding et al., ACL 2026 (arXiv 2511.14868). Documents are cut into blocks of sentences. A placeholder for each block is
in front of the text, and one before each block; in the layers from ``--start`` up to ``--exit`` it gets, ahead of each
layer, the state of the block's last token. So tokens see what comes after them. The vector is the mean of the text's
states. Beside it: the same mean without placeholders. No prompt, and no code of the authors.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from prompteol import split_windows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from retrieval_data import load_scifact


class Encoder:
    """Embed one text at a time by the mean of its tokens' states at several layers."""

    def __init__(self, name: str, layers: Sequence[int], start: int, stop: int, sentences: int, most: int) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(name)
        self._model = AutoModel.from_pretrained(name, dtype=torch.float32).eval()
        self._layers, self._edited = layers, self._model.layers[start:stop]
        self._sentences, self._most = sentences, most

    def encode(self, text: str, *, summaries: bool) -> np.ndarray:
        """Return the vectors, (layers, width)."""
        blocks = [self._ids(block) for block in split_windows(text, self._sentences).texts]
        blocks = [block for block in blocks if block]
        start = [self._tokenizer.bos_token_id] if self._tokenizer.bos_token_id is not None else []
        if not summaries:
            ids = [*start, *(one for block in blocks for one in block)][: self._most]
            return self._mean(ids, range(len(start), len(ids)), [])
        holder = self._ids(" ")[:1]
        ids, text_places, moves = [*start, *holder * len(blocks)], [], []
        for number, block in enumerate(blocks):
            ids += holder
            begun = len(ids)
            ids += block
            text_places += range(begun, len(ids))
            moves += [(len(start) + number, len(ids) - 1), (begun - 1, len(ids) - 1)]
        kept = [move for move in moves if move[1] < self._most]
        return self._mean(ids[: self._most], [place for place in text_places if place < self._most], kept)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False).input_ids

    @torch.inference_mode()
    def _mean(self, ids: list[int], places: Sequence[int], moves: list[tuple[int, int]]) -> np.ndarray:
        with self._moving(moves):
            states = self._model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        return np.stack([states[layer][0, list(places)].mean(0).numpy() for layer in self._layers])

    @contextmanager
    def _moving(self, moves: list[tuple[int, int]]) -> Iterator[None]:
        to, of = (list(side) for side in zip(*moves, strict=True)) if moves else ([], [])

        def move(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            states = arguments[0].clone()
            states[:, to] = arguments[0][:, of]
            return (states, *arguments[1:])

        hooks = [layer.register_forward_pre_hook(move) for layer in self._edited] if moves else []
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def main() -> None:
    """Print a Markdown table of nDCG@10."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--documents", type=int, default=10**9)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--layers", type=int, nargs="+", default=[-1, -3])
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--exit", type=int, default=7)
    parser.add_argument("--sentences", type=int, default=1, help="in a block")
    parser.add_argument("--max-tokens", type=int, default=512)
    arguments = parser.parse_args()
    data = load_scifact()
    if data is None:
        raise SystemExit("SciFact was not found: set PROMPTEOL_DATA to the folder that holds retrieval/scifact")
    data = data.part(arguments.documents, arguments.queries)
    settings = (arguments.start, arguments.exit, arguments.sentences, arguments.max_tokens)
    encoder = Encoder(arguments.model, arguments.layers, *settings)
    start = time.process_time()
    print("| method | " + " | ".join(f"layer {layer}" for layer in arguments.layers) + " |")
    print("|---" * (1 + len(arguments.layers)) + "|")
    for name, summaries in (("mean of the tokens", False), ("HTP", True)):
        sides = []
        for texts in (data.queries.values(), data.documents.values()):
            vectors = np.stack([encoder.encode(text, summaries=summaries) for text in texts])
            sides.append(vectors / np.linalg.norm(vectors, axis=2, keepdims=True))
        scores = [data.ndcg(sides[0][:, place] @ sides[1][:, place].T) for place in range(len(arguments.layers))]
        print(f"| {name} | " + " | ".join(f"{score:.4f}" for score in scores) + " |", flush=True)
    print(f"\n{len(data.documents)} documents, {len(data.queries)} queries, {time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
