"""Score every technique of one backbone on pairs with human scores: the tables of docs/techniques.

By default read-outs: each prompt runs once over the sentences, for two layers, and read-outs are then fitted on the
states, by the package's own operations. With --papers every forward technique is one row, at the settings of its paper,
with the tokens and the passes through all layers that a text costs. What is computed is kept in --states, so that a run
goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from transformers import AutoConfig

from prompteol import PromptEOL, register_technique
from prompteol.inference import SharedPrefixEngine
from prompteol.techniques import (
    AllButTheTop,
    Centering,
    ForwardTechnique,
    LinearMap,
    Readout,
    Whitening,
)
from prompteol.techniques.ensembles import METAEOL
from prompteol.techniques.registry import describe_technique

PROMPTS = ["prompteol", "pretended-cot", "knowledge-enhancement", *(f"metaeol {number}" for number in range(1, 9))]
# Texts that are embedded, and kept, at once.
_PART = 200
READOUTS: list[Readout] = [Centering(), AllButTheTop(3), Whitening(0.5), Whitening(1.0)]
ENSEMBLES = {
    **{name: [name] for name in PROMPTS[:3]},
    "prompt-ensemble": PROMPTS[1:3],
    "prompt-ensemble of all three": PROMPTS[:3],
    "metaeol": PROMPTS[3:],
}
# The prompts, whether with the demonstration, and whether with read-outs.
ROWS = [
    ("prompteol", True, True),
    ("prompteol", False, False),
    ("pretended-cot", False, False),
    ("knowledge-enhancement", False, False),
    ("prompt-ensemble", False, False),
    ("prompt-ensemble of all three", False, False),
    ("pretended-cot", True, False),
    ("knowledge-enhancement", True, False),
    ("prompt-ensemble", True, False),
    ("prompt-ensemble of all three", True, False),
    ("metaeol", False, False),
]


class Paper(NamedTuple):
    """One row: a technique, its prompt, and the layer as a fraction of depth, or negative."""

    technique: str | None
    template: str
    layer: float


# Layers and strengths as the papers have them for LLaMA-2-7B, in fractions of its 32 layers.
PAPERS = [
    Paper(None, "prompteol", -1),
    Paper(None, "prompteol", 27 / 32),
    Paper(None, "pretended-cot", -2),
    Paper(None, "knowledge-enhancement", -2),
    Paper("token-prepending:start=1,stop=0.22", "prompteol", 27 / 32),
    Paper("token-prepending:start=1,stop=0.22", "pretended-cot", 27 / 32),
    Paper("contrastive-prompting:layer=0.13,strength=2.0", "prompteol", 27 / 32),
    Paper("contrastive-prompting:layer=0.13,strength=0.5", "prompteol", 27 / 32),
    Paper("contrastive-prompting:layer=0.13,form=NR", "prompteol", 27 / 32),
    Paper("echo", "prompteol", -1),
    Paper("aligned-wva:start=0.5", "prompteol", -1),
    Paper("aligned-wva:start=0", "prompteol", -1),
    Paper("kv-embedding:start=0.33,stop=0.67,bias=1.0", "prompteol", -1),
    Paper("prompt-ensemble", "prompteol", -2),
    Paper("metaeol", "prompteol", -1),
]


@dataclass(frozen=True)
class SeveralLayers(ForwardTechnique):
    """Give the states of several layers, one behind the other."""

    read: Sequence[int] = (-1,)

    def layers(self, layer: int) -> Sequence[int]:
        """Return them."""
        return self.read

    def combine(self, states: Tensor) -> Tensor:
        """Return (texts, layers x width)."""
        return states[:, 0].flatten(1)


register_technique("several-layers", SeveralLayers)


@dataclass(frozen=True)
class Vectors:
    """Hold the vectors that are fitted on."""

    vectors: Tensor


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--pairs", type=Path, required=True, help="sts-dev.csv of the STS benchmark")
    parser.add_argument("--sample", type=int, help="how many pairs, drawn at random; default: all")
    parser.add_argument("--first", type=int, help="take the first pairs, so many, and draw none")
    parser.add_argument("--papers", action="store_true", help="forward techniques at the settings of their papers")
    parser.add_argument("--fit-texts", type=Path, help="a sentence a line; for read-outs")
    parser.add_argument("--fit", type=int, default=1000, help="how many of them, drawn at random")
    parser.add_argument("--layers", type=int, nargs="+", default=[-1, -3])
    parser.add_argument("--demonstration", default="opt-2.7b")
    parser.add_argument("--states", type=Path, required=True, help="folder")
    arguments = parser.parse_args()
    with arguments.pairs.open(encoding="utf-8") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = rows[: arguments.first] if arguments.first else _drawn(rows, arguments.sample or len(rows))
    pairs = [(row[5], row[6], float(row[4])) for row in rows]
    texts = list(dict.fromkeys(text for *both, _ in pairs for text in both))
    arguments.states.mkdir(exist_ok=True)
    if arguments.papers:
        _print_papers(pairs, texts, arguments)
        return
    if arguments.fit_texts is None:
        parser.error("read-outs are fitted on --fit-texts FILE; for the other techniques give --papers")
    fit_texts = arguments.fit_texts.read_text(encoding="utf-8").splitlines()
    fit_texts = _drawn(sorted(set(fit_texts) - set(texts)), arguments.fit)
    table = Table(pairs, texts, fit_texts, arguments)
    print("| prompts | demonstrations | layer | read-out | fitted on | Spearman x 100 |")
    print("|---|---|---|---|---|---|")
    for name, shown, fitted in ROWS:
        for place, layer in enumerate(arguments.layers):
            table.print(name, arguments.demonstration if shown else None, place, layer, READOUTS if fitted else ())


def _drawn(items: list[Any], count: int) -> list[Any]:
    return [items[place] for place in np.random.default_rng(0).permutation(len(items))[:count]]


def _print_papers(pairs: list[tuple[str, str, float]], texts: list[str], arguments: argparse.Namespace) -> None:
    print("| technique | prompt | layer | tokens of a text | passes | Spearman x 100 |")
    print("|---|---|---|---|---|---|")
    for number, paper in enumerate(PAPERS, start=1):
        parts = []
        for start in range(0, len(texts), _PART):
            name = f"{paper.technique} {paper.template} {paper.layer:.3f} {len(texts)} {start}".replace(":", " ")
            file = arguments.states / f"{name}.npz"
            print(f"row {number} of {len(PAPERS)}, text {start} of {len(texts)}", file=sys.stderr, flush=True)
            if not file.exists():
                np.savez(file, **_embed_by(paper, texts[start : start + _PART], arguments.model))
            parts.append(np.load(file))
        vectors = torch.from_numpy(np.concatenate([part["vectors"] for part in parts])).double()
        tokens, passes = (sum(float(part[name]) for part in parts) / len(texts) for name in ("tokens", "passes"))
        shown = f"`{paper.technique}`" if paper.technique else "none"
        score = _spearman(pairs, texts, vectors)
        layer = int(parts[0]["layer"])
        print(f"| {shown} | `{paper.template}` | {layer} | {tokens:.1f} | {passes:.2f} | {score:.2f} |", flush=True)


@cache
def _model_of(paper: Paper, name: str) -> PromptEOL:
    depth = AutoConfig.from_pretrained(name).num_hidden_layers
    layer = int(paper.layer) if paper.layer < 0 else round(paper.layer * depth) - depth - 1
    options: dict[str, Any] = {"device": "cpu", "model_kwargs": {"dtype": "float32"}}
    return PromptEOL(name, template=paper.template, technique=paper.technique, layer=layer, **options)


def _embed_by(paper: Paper, texts: list[str], name: str) -> dict[str, Any]:
    """Embed by one technique, and count the tokens of texts and the passes through all layers that are computed."""
    model = _model_of(paper, name)
    depth = model.module.config.num_hidden_layers
    passes, tokens = 0.0, 0
    states = SharedPrefixEngine.layer_states

    def counting(engine: SharedPrefixEngine, rows: Any, layers: Any, **options: Any) -> list[Tensor]:
        nonlocal passes, tokens
        deepest = max(one if isinstance(one, int) else one.layer for one in layers)
        passes += len(rows) * (deepest + depth + 1) / depth
        before = engine.counters.text_tokens
        found = states(engine, rows, layers, **options)
        tokens += engine.counters.text_tokens - before
        return found

    SharedPrefixEngine.layer_states = counting  # type: ignore[method-assign]
    try:
        vectors = model.encode(texts)
    finally:
        SharedPrefixEngine.layer_states = states  # type: ignore[method-assign]
    return {"vectors": vectors, "tokens": tokens, "passes": passes, "layer": model.layer}


def _spearman(pairs: list[tuple[str, str, float]], texts: list[str], vectors: Tensor) -> float:
    rows = dict(zip(texts, torch.nn.functional.normalize(vectors, dim=1), strict=True))
    cosines = [float(rows[one] @ rows[other]) for one, other, _ in pairs]
    return 100 * float(spearmanr(cosines, [score for *_, score in pairs]).statistic)


class Table:
    """Score one row after another."""

    def __init__(
        self, pairs: list[tuple[str, str, float]], texts: list[str], fit_texts: list[str], arguments: argparse.Namespace
    ) -> None:
        self._pairs, self._texts, self._fit_texts, self._arguments = pairs, texts, fit_texts, arguments
        self._model: PromptEOL | None = None

    def print(self, name: str, shown: str | None, place: int, layer: int, readouts: Sequence[Readout]) -> None:
        """Print the rows of one kind of prompts: as they are, and with each read-out."""
        found = self._mean(name, shown, place, self._texts)
        start = f"| `{name}` | {shown or 'none'} | {layer} |"
        print(f"{start} | | {self._score(found):.2f} |", flush=True)
        for readout in readouts:
            others = self._mean(name, shown, place, self._fit_texts)
            for what, vectors in {"other sentences": others, "the pairs' own": found}.items():
                fitted: LinearMap = readout.fit(Vectors(vectors))
                text = f"`{describe_technique(readout)}` | {what}"
                print(f"{start} {text} | {self._score(fitted(found)):.2f} |", flush=True)

    def _mean(self, name: str, shown: str | None, place: int, texts: list[str]) -> Tensor:
        states = torch.stack([self._states(member, shown, texts) for member in ENSEMBLES[name]]).mean(0).double()
        return states.chunk(len(self._arguments.layers), dim=1)[place]

    def _states(self, name: str, shown: str | None, texts: list[str]) -> Tensor:
        kind = "fit" if texts is self._fit_texts else "pairs"
        parts = []
        for start in range(0, len(texts), _PART):
            file = self._arguments.states / f"{name} {shown} {kind} {len(texts)} {start}.npy"
            if not file.exists():
                self._embed(name, shown, texts[start : start + _PART], file)
            parts.append(torch.from_numpy(np.load(file)))
        return torch.cat(parts)

    def _embed(self, name: str, shown: str | None, texts: list[str], file: Path) -> None:
        template = METAEOL[int(name[-1]) - 1] if name.startswith("metaeol") else name
        if self._model is None:
            technique = SeveralLayers(self._arguments.layers)
            self._model = PromptEOL(self._arguments.model, technique=technique, device="cpu")
        self._model.set_template(template, demonstrations=[] if shown is None else shown)
        np.save(file, self._model.encode(texts))

    def _score(self, vectors: Tensor) -> float:
        return _spearman(self._pairs, self._texts, vectors)


if __name__ == "__main__":
    main()
