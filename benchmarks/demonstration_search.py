"""Compare successive halving with trying everything: how far the winner lies behind, for what share of the tokens.

    python benchmarks/demonstration_search.py MODEL --pairs sts-dev.csv --results folder/

One search and one exhaustive search are run; their results stay in the folder, so that the command can be stopped and
called again. The search is then replayed with other seeds on what the exhaustive one found, which needs no model.
``--candidates 100`` takes so many of the shipped demonstrations; no demonstration is always one more. ``--technique``
adds techniques, and ``--sample 500`` takes so many pairs, high and low ones in the proportion of the whole. MODEL ``-``
is the model of the package, and ``random-opt`` a random OPT shape.
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
from prompteol.testing import tiny_model
from prompteol.tuning import CandidateScore, TuningResult
from prompteol.tuning.candidates import Candidate, Cost
from prompteol.tuning.choosing import ChosenTechniques
from prompteol.tuning.evaluator import Evaluator, PromptScores
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.stages import Stages
from prompteol.tuning.successive_halving import SuccessiveHalving

# In points: nearer than this counts as found.
_NEAR = 0.2


class Replay:
    """Return known scores in place of computing them."""

    def __init__(
        self, scores: Mapping[Candidate, CandidateScore], order: Sequence[int], costs: Mapping[Candidate, Cost]
    ) -> None:
        self._scores, self._order = scores, order
        self.cost = costs.__getitem__
        self.readouts = "known" if any(read.readout for one in scores.values() for read in one.reads) else ""

    def score(self, candidate: Candidate, start: int, stop: int) -> PromptScores:
        """Return what is known; no token is computed."""
        known = self._scores[candidate]
        whole = (start, stop) == (0, len(self._order))
        shown = known if whole else known.alone
        return PromptScores(shown.values[:, self._order[start:stop]], 0, shown.reads)

    def check(self, candidate: Candidate) -> None:
        """Every technique here fits."""


def replay(
    pairs: ScoredPairs, everything: TuningResult, seed: int, costs: Mapping[Candidate, Cost]
) -> list[CandidateScore]:
    """Return the ranking of the search with another seed."""
    first, ordered = (
        list(zip(one.first, one.second, one.scores or (), strict=True)) for one in (pairs.nested(0), pairs.nested(seed))
    )
    place = {row: at for at, row in enumerate(first)}
    scores = {one.candidate: one for one in everything.ranking}
    evaluator = Replay(scores, [place[row] for row in ordered], costs)
    # In the order of the first search: no demonstration, then the shipped ones.
    rank = {shot: at for at, shot in enumerate(default_demonstrations())}
    prompts = [one for one in scores if one.technique is None]
    shots = sorted({shot for one in prompts for shot in one.demonstrations}, key=rank.__getitem__)
    plain = [one for one in prompts if one.plain]
    techniques = list({repr(one.technique): one.technique for one in scores if one.technique}.values())
    chosen = ChosenTechniques(techniques, None, named=True)
    halving = SuccessiveHalving(evaluator, ResultsLog(None, {}), pairs.nested(seed))
    return Stages(halving, plain[0], plain, shots, chosen, 1, None).run()


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
    parser.add_argument("--technique", nargs="*", default=[])
    parser.add_argument("--sample", type=int, help="pairs; default: all")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        name = {"-": None, "random-opt": "random-opt"}.get(arguments.model, arguments.model)
        model = PromptEOL(tiny_model(folder, "opt") if name == "random-opt" else name, device="cpu")
        pairs, shots = read_pairs(arguments.pairs), default_demonstrations()[: arguments.candidates]
        log = arguments.results / f"{Path(arguments.model).name}.tuning.jsonl"
        if arguments.sample:
            drawn = pairs.nested(0)
            first, second, gold = (part[: arguments.sample] for part in (drawn.first, drawn.second, drawn.scores or ()))
            pairs = ScoredPairs(first, second, gold, f"{arguments.sample} of {pairs.name}")
        # Halving first: the exhaustive search adds to the same file what it left out.
        halved = tune_prompt(model, pairs, shots, techniques=arguments.technique, results=log)
        everything = tune_prompt(model, pairs, shots, techniques=arguments.technique, results=log, exhaustive=True)
        for name, found in (("exhaustive", everything), ("halving", halved)):
            shown = f"{found.candidate.demonstration_text}, {found.technique}, layer {found.layer}"
            print(f"{name}: {found.best.score:.2f}, {shown}; {found.tokens}")
        evaluator = Evaluator(model, pairs, everything.baseline.layers)
        costs = {one.candidate: evaluator.cost(one.candidate) for one in everything.ranking}
        seeds = track(range(1, arguments.replays + 1), "replays")
        gaps = np.array([behind(everything, replay(pairs, everything, seed, costs)) for seed in seeds])
        for of, gap in zip(("all prompts", "those with a demonstration"), gaps.T, strict=True):
            print(
                f"{arguments.replays} replays, of {of}: within {_NEAR} in {np.mean(gap <= _NEAR):.0%}, "
                f"mean {gap.mean():.2f} behind, worst {gap.max():.2f}"
            )


if __name__ == "__main__":
    main()
