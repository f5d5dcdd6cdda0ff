"""Score every technique of one backbone on pairs with human scores: the tables of docs/techniques.

Each prompt runs once over the sentences, for two layers; its states are kept in --states, so that a run goes on where
the last one stopped. Read-outs are then fitted on the states, by the package's own operations.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from prompteol import PromptEOL, register_technique
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
    parser.add_argument("--fit-texts", type=Path, required=True, help="a sentence a line")
    parser.add_argument("--fit", type=int, default=1000, help="how many of them, drawn at random")
    parser.add_argument("--layers", type=int, nargs="+", default=[-1, -3])
    parser.add_argument("--demonstration", default="opt-2.7b")
    parser.add_argument("--states", type=Path, required=True, help="folder")
    arguments = parser.parse_args()
    with arguments.pairs.open(encoding="utf-8") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = _drawn(rows, arguments.sample or len(rows))
    pairs = [(row[5], row[6], float(row[4])) for row in rows]
    texts = list(dict.fromkeys(text for *both, _ in pairs for text in both))
    fit_texts = arguments.fit_texts.read_text(encoding="utf-8").splitlines()
    fit_texts = _drawn(sorted(set(fit_texts) - set(texts)), arguments.fit)
    arguments.states.mkdir(exist_ok=True)
    table = Table(pairs, texts, fit_texts, arguments)
    print("| prompts | demonstrations | layer | read-out | fitted on | Spearman x 100 |")
    print("|---|---|---|---|---|---|")
    for name, shown, fitted in ROWS:
        for place, layer in enumerate(arguments.layers):
            table.print(name, arguments.demonstration if shown else None, place, layer, READOUTS if fitted else ())


def _drawn(items: list[Any], count: int) -> list[Any]:
    return [items[place] for place in np.random.default_rng(0).permutation(len(items))[:count]]


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
        rows = dict(zip(self._texts, torch.nn.functional.normalize(vectors, dim=1), strict=True))
        cosines = [float(rows[one] @ rows[other]) for one, other, _ in self._pairs]
        return 100 * float(spearmanr(cosines, [score for *_, score in self._pairs]).statistic)


if __name__ == "__main__":
    main()
