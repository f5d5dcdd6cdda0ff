"""A score that is estimated from a few pairs is nearer to that of all pairs than the score on the few."""

import numpy as np
import pytest

from prompteol.tuning.scoring import estimate, score

SEEN, COUNT = 96, 1500


@pytest.fixture(params=["labeled", "unlabeled"])
def planted(request):
    """What 40 prompts of one model gave for 1500 pairs: mostly alike, a little their own; and the human scores."""
    draw = np.random.default_rng(0)
    gold = draw.normal(size=COUNT)
    shared = gold + draw.normal(size=(2, COUNT))
    values = [np.stack([shared[0] + at * shared[1], shared[1]]) + 0.4 * draw.normal(size=(2, COUNT))
              for at in np.linspace(0, 1, 40)]  # fmt: skip
    return [one.astype(np.float32) for one in values], gold.tolist() if request.param == "labeled" else None


def test_it_is_nearer_than_the_sample(planted):
    values, gold = planted
    references, others = values[::13], [one for at, one in enumerate(values) if at % 13]
    exact = np.array([[score(layer, gold) for layer in one] for one in others])
    few = np.array([[score(layer[:SEEN], gold and gold[:SEEN]) for layer in one] for one in others])
    told = np.array([estimate(one[:, :SEEN], references, gold) for one in others])
    assert np.abs(told - exact).mean() < 0.6 * np.abs(few - exact).mean()


def test_what_the_references_gave_is_known_exactly(planted):
    values, gold = planted
    told = estimate(values[0][:, :SEEN], [values[0]], gold)
    exact = [score(layer, gold) for layer in values[0]]
    # Ranks within the sample are nearly, not quite, a straight line of the ranks among all.
    assert told == pytest.approx(exact, abs=0.3 if gold else 1e-3)


def test_all_pairs_seen_is_the_score(planted):
    values, gold = planted
    assert estimate(values[1], values[2:4], gold) == pytest.approx([score(one, gold) for one in values[1]], abs=1e-6)


def test_equal_values_break_nothing(planted):
    _, gold = planted
    told = estimate(np.ones((2, SEEN), np.float32), [np.ones((2, COUNT), np.float32)], gold)
    assert told == pytest.approx([score(np.ones(COUNT, np.float32), gold)] * 2)
