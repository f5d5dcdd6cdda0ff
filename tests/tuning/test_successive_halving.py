"""Halving on planted scores: the best is found, for the budget, and a round never runs again what a former one ran."""

import numpy as np
import pytest

from prompteol import PromptTemplate
from prompteol.data import ScoredPairs
from prompteol.demonstrations import default_demonstrations
from prompteol.tuning.candidates import Candidate, Cost
from prompteol.tuning.evaluator import PromptScores, VectorRead
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.successive_halving import BUDGET, SuccessiveHalving, round_sizes, rungs

COUNT = 1500
SHARED = 0.4


class Planted:
    """Stand in for a model: cosines that are the gold score, and noise that differs by prompt."""

    readouts = ""

    def __init__(self, pairs, candidates, seed):
        draw = np.random.default_rng(seed)
        gold = np.asarray(pairs.scores)
        common = draw.normal(size=len(gold))
        self.values = {}
        for rank, candidate in enumerate(candidates):
            own = draw.normal(size=len(gold))
            self.values[candidate] = (gold + (1 + rank / 20) * (common + own) / 1.4).astype(np.float32)
        self.asked = []

    def score(self, candidate, start, stop):
        self.asked.append((candidate, start, stop))
        tokens = int(1000 * SHARED * (stop - start))
        return PromptScores(self.values[candidate][None, start:stop], tokens, (VectorRead(-1),))

    def cost(self, candidate):
        return Cost(1000 * COUNT, 1000 * SHARED, 0)


@pytest.fixture(scope="module")
def pairs():
    draw = np.random.default_rng(0)
    texts = [f"text {number}" for number in range(COUNT)]
    return ScoredPairs(texts, texts, draw.normal(size=COUNT).tolist()).nested(0)


@pytest.fixture(scope="module")
def candidates():
    plain = Candidate("plain", PromptTemplate("", " means:"))
    return [*(plain.followed_by(shot) for shot in default_demonstrations()[:100]), plain]


@pytest.mark.parametrize("seed", range(5))
def test_the_winner_is_found_within_the_budget(pairs, candidates, seed):
    evaluator = Planted(pairs, candidates, seed)
    halving = SuccessiveHalving(evaluator, ResultsLog(None, {}), pairs)
    ranking = halving.run(candidates, never_dropped=candidates[-1:])
    everything = SuccessiveHalving(evaluator, ResultsLog(None, {}), pairs, exhaustive=True).run(candidates)
    assert everything[0].score - ranking[0].score < 0.1
    spent = sum(SHARED * (stop - start) for _, start, stop in evaluator.asked[: -len(halving.rungs) * len(candidates)])
    assert spent <= 0.1 * COUNT * len(candidates)
    assert len({one.candidate for one in ranking}) == len(candidates)
    assert next(one for one in ranking if one.candidate == candidates[-1]).pairs == COUNT


def test_samples_are_nested_and_nothing_runs_twice(pairs, candidates):
    evaluator = Planted(pairs, candidates, 0)
    log = ResultsLog(None, {})
    SuccessiveHalving(evaluator, log, pairs).run(candidates)
    for candidate in candidates:
        slices = [(start, stop) for asked, start, stop in evaluator.asked if asked == candidate]
        assert [start for start, _ in slices] == [0, *(stop for _, stop in slices[:-1])]
    calls = len(evaluator.asked)
    SuccessiveHalving(evaluator, log, pairs, exhaustive=True).run(candidates)
    assert len(evaluator.asked) == len(set(evaluator.asked)) > calls


@pytest.mark.parametrize("count", [8, 63, 64, 65, 500, 1500, 20000])
def test_rounds_cover_all_pairs_once(count):
    rounds = rungs(count)
    assert [rung.start for rung in rounds] == [0, *(rung.stop for rung in rounds[:-1])]
    assert rounds[-1].stop == count
    assert all(rung.stop % 32 == 0 for rung in rounds[:-1])


@pytest.mark.parametrize("candidates", [1, 3, 20, 100, 1000])
def test_fewer_go_on_each_time_and_never_none(candidates):
    rounds = rungs(1500)
    for shared in (0.3, 0.5, 0.9):
        sizes = round_sizes(rounds, candidates, BUDGET / shared * candidates * 1500)
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == candidates
        assert sizes[-1] >= min(5, candidates)


def test_every_beginning_of_the_order_is_a_fair_sample(pairs):
    gold = np.asarray(pairs.scores)
    for size in (64, 128, 500):
        assert np.quantile(gold[:size], [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(gold, [0.1, 0.5, 0.9]), abs=0.15)
    again, other = pairs.nested(1), pairs.nested(2)
    assert again.first == pairs.nested(1).first != other.first
    assert sorted(again.first) == sorted(pairs.first)
