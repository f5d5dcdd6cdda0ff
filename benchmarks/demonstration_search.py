"""Compare successive halving with trying everything: how far the winner lies behind, for what share of the tokens.

    python benchmarks/demonstration_search.py MODEL --pairs sts-dev.csv --results folder/

One search and one exhaustive search are run; their results stay in the folder, so that the command can be stopped and
called again. The search is then replayed with other seeds on what the exhaustive one found, which needs no model.
``--candidates 100`` takes so many of the shipped demonstrations; no demonstration is always one more. MODEL ``-`` is
the model of the package, and ``random-opt`` a random OPT shape.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from prompteol import PromptEOL, tune_prompt
from prompteol.data import ScoredPairs, read_pairs
from prompteol.demonstrations import default_demonstrations
from prompteol.prompts import Template
from prompteol.testing import tiny_model
from prompteol.tuning import CandidateScore, TuningResult
from prompteol.tuning.evaluator import Cost, Evaluator, PromptScores
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.scoring import Values
from prompteol.tuning.successive_halving import SuccessiveHalving

# In points: nearer than this counts as found.
_NEAR = 0.1


class Replay:
    """Return known scores in place of computing them."""

    def __init__(self, values: Mapping[Template, Values], costs: Mapping[Template, Cost]) -> None:
        self._values = values
        self.cost = costs.__getitem__

    def score(self, template: Template, start: int, stop: int) -> PromptScores:
        """Return what is known; no token is computed."""
        return PromptScores(self._values[template][:, start:stop], 0)


def replay(
    pairs: ScoredPairs, everything: TuningResult, seed: int, costs: Mapping[Template, Cost]
) -> list[CandidateScore]:
    """Return the ranking of the search with another seed."""
    first, ordered = (
        list(zip(one.first, one.second, one.scores or (), strict=True)) for one in (pairs.nested(0), pairs.nested(seed))
    )
    place = {row: at for at, row in enumerate(first)}
    order = [place[row] for row in ordered]
    values = {one.candidate.template: one.values[:, order] for one in everything.ranking}
    # In the order of the first search: no demonstration, then the shipped ones.
    rank = {shot: at for at, shot in enumerate(default_demonstrations())}
    prompts = (one.candidate for one in everything.ranking)
    candidates = sorted(prompts, key=lambda one: [rank[shot] for shot in one.demonstrations])
    halving = SuccessiveHalving(Replay(values, costs), ResultsLog(None, {}), pairs.nested(seed), everything.best.layers)
    return halving.run(candidates, never_dropped=[one for one in candidates if not one.demonstrations])


def behind(everything: TuningResult, found: Sequence[CandidateScore]) -> tuple[float, float]:
    """Return how far the winner lies behind the true one, among all prompts and among those with a demonstration."""

    def best(ranking: Sequence[CandidateScore], least: int) -> float:
        whole = (one for one in ranking if one.pairs == everything.best.pairs)
        return max(one.score for one in whole if len(one.candidate.demonstrations) >= least)

    first, second = (best(everything.ranking, least) - best(found, least) for least in (0, 1))
    return first, second


def main() -> None:
    """Print what both searches found, and how often others would have found it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--replays", type=int, default=100)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        name = {"-": None, "random-opt": "random-opt"}.get(arguments.model, arguments.model)
        model = PromptEOL(tiny_model(folder, "opt") if name == "random-opt" else name, device="cpu")
        pairs, shots = read_pairs(arguments.pairs), default_demonstrations()[: arguments.candidates]
        log = arguments.results / f"{Path(arguments.model).name}.tuning.jsonl"
        # Halving first: the exhaustive search adds to the same file what it left out.
        halved = tune_prompt(model, pairs, shots, results=log)
        everything = tune_prompt(model, pairs, shots, results=log, exhaustive=True)
        print(f"exhaustive: {everything.best.score:.2f}, {everything.candidate.demonstration_text}")
        print(f"halving: {halved.best.score:.2f}, {halved.candidate.demonstration_text}; {halved.tokens}")
        evaluator = Evaluator(model, pairs, everything.best.layers)
        costs = {one.candidate.template: evaluator.cost(one.candidate.template) for one in everything.ranking}
        seeds = track(range(1, arguments.replays + 1), "replays")
        gaps = np.array([behind(everything, replay(pairs, everything, seed, costs)) for seed in seeds])
        for of, bos_separator in zip(("all prompts", "those with a demonstration"), gaps.T, strict=True):
            print(
                f"{arguments.replays} replays, of {of}: within {_NEAR} in {np.mean(bos_separator <= _NEAR):.0%}, "
                f"mean {bos_separator.mean():.2f} behind, worst {bos_separator.max():.2f}"
            )


if __name__ == "__main__":
    main()
