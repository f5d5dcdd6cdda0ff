"""Find the best training-free recipe of a backbone: read-outs chosen on STS-B dev, scored on the test sets.

    python benchmarks/recipe.py MODEL --senteval folder/ --states folder/

Prompts with one demonstration, alone and as the mean of two, give states. Read-outs are fitted on sentences of STS-B
train, without their scores. The power and shrinkage of whitening and the number of components removed behind it are
those that do best on STS-B dev; no test score has a part in the choice. States are kept in --states, so that a run goes
on where the last one stopped.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from prompteol import PromptEOL
from prompteol.evaluation import SentEvalFolder, load_benchmark
from prompteol.evaluation.runner import Benchmark
from prompteol.evaluation.scoring import StsData, score_sts
from prompteol.techniques import AllButTheTop, LinearMap, Readout, Whitening
from prompteol.techniques.registry import describe_technique

TASKS = ["STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R"]
# Texts that are embedded, and kept, at once.
_PART = 400


class Prompt(NamedTuple):
    """A template, whether it shows the demonstration, and the layer of the states."""

    template: str
    shown: bool
    layer: int


PLAIN = Prompt("prompteol", False, -1)
SHOWN, EARLIER = Prompt("prompteol", True, -1), Prompt("prompteol", True, -3)
KNOWLEDGE = Prompt("knowledge-enhancement", True, -1)
RECIPES = {
    "plain": [PLAIN],
    "demonstration": [SHOWN],
    "demonstration, layer -3": [EARLIER],
    "knowledge-enhancement": [KNOWLEDGE],
    "mean of both": [SHOWN, KNOWLEDGE],
}
POWERS, SHRINKAGES, COMPONENTS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (0.0, 0.05, 0.1, 0.2, 0.3), (0, 1, 2, 3)


@dataclass(frozen=True)
class Vectors:
    """Hold the vectors that are fitted on."""

    vectors: Tensor


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--senteval", type=Path, required=True, help="a folder as SentEval has it")
    parser.add_argument("--states", type=Path, required=True, help="folder")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--demonstration", default="opt-2.7b")
    parser.add_argument("--fit", type=int, default=3000, help="how many sentences read-outs are fitted on")
    arguments = parser.parse_args()
    arguments.states.mkdir(parents=True, exist_ok=True)
    folder = SentEvalFolder(arguments.senteval)
    dev, test = load_benchmark(folder, ["STS-B-dev"]), load_benchmark(folder, arguments.tasks)
    texts = {"fit": _fit_texts(arguments.senteval, arguments.fit), "dev": _of(dev), "test": _of(test)}
    states = States(arguments.model, arguments.demonstration, arguments.states, texts)
    print("| recipe | read-outs | STS-B dev |", " | ".join(test.tasks), "| mean |")
    print("|---|---|---|" + "---|" * (len(test.tasks) + 1))
    for name in arguments.recipes:
        fit, on_dev, on_test = (states.mean(RECIPES[name], which) for which in texts)

        def score_dev(readouts: Sequence[Readout], fit: Tensor = fit, on_dev: Tensor = on_dev) -> float:
            return scores(dev, texts["dev"], _through(readouts, fit, on_dev))[0]

        chosen = max(_grid(), key=score_dev)
        for readouts in ([], [Whitening(0.7)], chosen):
            found = scores(test, texts["test"], _through(readouts, fit, on_test))
            cells = " | ".join(f"{score:.2f}" for score in (score_dev(readouts), *found, float(np.mean(found))))
            shown = ", ".join(f"`{describe_technique(one)}`" for one in readouts) or "none"
            print(f"| {name} | {shown} | {cells} |", flush=True)


def scores(benchmark: Benchmark, texts: Sequence[str], vectors: Tensor) -> list[float]:
    """Return Spearman x 100 of each task."""
    rows = dict(zip(texts, vectors.numpy(), strict=True))
    tasks = (data for data in benchmark.tasks.values() if isinstance(data, StsData))
    return [score_sts(data, lambda batch: np.stack([rows[text] for text in batch]))[0] for data in tasks]


def _grid() -> list[list[Readout]]:
    return [
        [Whitening(power, shrinkage=shrinkage), *([AllButTheTop(removed)] if removed else [])]
        for power, shrinkage, removed in itertools.product(POWERS, SHRINKAGES, COMPONENTS)
    ]


def _through(readouts: Sequence[Readout], fit: Tensor, vectors: Tensor) -> Tensor:
    """Fit read-outs, each on what the one before it gives, and apply them."""
    for readout in readouts:
        fitted: LinearMap = readout.fit(Vectors(fit))
        fit, vectors = fitted(fit), fitted(vectors)
    return vectors


def _fit_texts(senteval: Path, count: int) -> list[str]:
    lines = (senteval / "STS/STSBenchmark/sts-train.csv").read_text(encoding="utf-8").splitlines()
    texts = sorted({text for line in lines for text in line.split("\t")[5:7]})
    return [texts[place] for place in np.random.default_rng(0).permutation(len(texts))[:count]]


def _of(benchmark: Benchmark) -> list[str]:
    return sorted(benchmark.sentences())


class States:
    """Embed sets of texts by prompts, and keep what was computed."""

    def __init__(self, model: str, demonstration: str, folder: Path, texts: dict[str, list[str]]) -> None:
        self._name, self._demonstration, self._folder, self._texts = model, demonstration, folder, texts
        self._model: PromptEOL | None = None

    def mean(self, prompts: Sequence[Prompt], which: str) -> Tensor:
        """Return the mean of the states that prompts give to the texts of a set."""
        return torch.stack([self._states(prompt, which) for prompt in prompts]).mean(0)

    def _states(self, prompt: Prompt, which: str) -> Tensor:
        texts = self._texts[which]
        # Texts of alike lengths together; the order is that of every run.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        shown = self._demonstration if prompt.shown else "none"
        parts = []
        for start in track(range(0, len(texts), _PART), f"{prompt.template}, {shown}, {prompt.layer}, {which}"):
            file = self._folder / f"{prompt.template} {shown} {prompt.layer} {which} {len(texts)} {start}.npy"
            if not file.exists():
                written = file.with_name("writing.npy")
                np.save(written, self._embed(prompt, [texts[place] for place in order[start : start + _PART]]))
                written.replace(file)
            parts.append(torch.from_numpy(np.load(file)))
        states = torch.cat(parts).double()
        return states[torch.tensor(order).argsort()]

    def _embed(self, prompt: Prompt, texts: list[str]) -> Any:
        if self._model is None:
            self._model = PromptEOL(self._name, device="cpu", model_kwargs={"dtype": "float32"})
        self._model.set_template(prompt.template, demonstrations=self._demonstration if prompt.shown else [])
        self._model.layer = prompt.layer
        return self._model.encode(texts)


if __name__ == "__main__":
    main()
