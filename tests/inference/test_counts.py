"""No token is computed twice, none is padding, and no layer runs that is not needed."""

import pytest
import torch

from prompteol.inference import SharedPrefixEngine

pytestmark = pytest.mark.usefixtures("without_gradients")


@pytest.fixture
def without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def warm(backbone, rows, prefix):
    """An engine that has had its check."""
    engine = SharedPrefixEngine(backbone("llama"), token_budget=16)
    engine.last_token_states(rows, prefix=prefix)
    return engine


def fewest_tokens(rows, prefix):
    """What follows the prefix in each distinct row; the whole row where the prefix does not fit."""
    return sum(
        len(row) - len(prefix) if list(row[: len(prefix)]) == prefix else len(row) for row in set(map(tuple, rows))
    )


def test_tokens_are_the_fewest_possible(warm, rows, prefix):
    before = warm.counters.text_tokens
    warm.last_token_states(rows * 3, prefix=prefix)
    assert warm.counters.text_tokens - before == fewest_tokens(rows, prefix)
    assert warm.counters.stock_tokens == 0


def test_a_row_whose_mask_would_not_fit_takes_the_ordinary_forward(warm, rows, prefix, monkeypatch):
    longest = max(map(len, rows))
    monkeypatch.setattr("prompteol.inference.engine._LONGEST_ROW", longest - 1)
    before = warm.counters.stock_tokens
    warm.last_token_states(rows, prefix=prefix)
    assert warm.counters.stock_tokens - before >= longest
    assert warm.counters.text_tokens > 0


def test_a_prefix_is_computed_once_a_call(warm, rows, prefix):
    before = warm.counters.prefix_tokens
    for calls, layer in enumerate((-1, -3, -1), 1):
        warm.last_token_states(rows, prefix=prefix, layer=layer)
        assert warm.counters.prefix_tokens - before == calls * len(prefix)


def test_a_row_that_is_alone_runs_in_one_piece(warm, rows, prefix):
    before = warm.counters.prefix_tokens, warm.counters.text_tokens
    warm.last_token_states(rows[:1], prefix=prefix)
    assert warm.counters.prefix_tokens == before[0]
    assert warm.counters.text_tokens == before[1] + len(rows[0])


def test_a_prefix_and_its_layers_are_checked_once(warm, rows, prefix):
    checks = warm.counters.checks
    warm.last_token_states(rows, prefix=prefix)
    assert warm.counters.checks == checks
    warm.last_token_states(rows, prefix=prefix, layer=-2)
    assert warm.counters.checks == checks + 2  # one with the prefix, one for the row that does not start with it


def test_a_much_longer_row_is_checked_again(warm, rows, prefix):
    checks = warm.counters.checks
    warm.last_token_states([rows[0] * 2, rows[1] * 2], prefix=prefix)
    assert warm.counters.checks == checks
    warm.last_token_states([rows[0] * 10, rows[1] * 2], prefix=prefix)
    assert warm.counters.checks == checks + 1


class Counted(torch.nn.Module):
    """Stand in for a module, and write down how many tokens each pass brings it."""

    # Foreign modules get ordinary batches.
    __module__ = "transformers"

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.sizes = []

    def forward(self, states):
        self.sizes.append(states.shape[1])
        return self.module(states)

    forward.__module__ = __module__


@pytest.fixture
def counted(backbone, rows, prefix):
    """An engine that has had its check, and what counts in each of its layers."""
    model = backbone("llama")
    for block in model.layers:
        block.mlp.up_proj = Counted(block.mlp.up_proj).eval()
    engine = SharedPrefixEngine(model, token_budget=16)

    def sizes(rows, layer=-1):
        for _ in range(2):
            for block in model.layers:
                block.mlp.up_proj.sizes.clear()
            engine.last_token_states(rows, prefix=prefix, layer=layer)
        return [list(block.mlp.up_proj.sizes) for block in model.layers]

    return sizes


@pytest.mark.parametrize("layer", [-1, -2, -4, -5])
def test_only_the_layers_needed_run(counted, rows, prefix, layer):
    fitting = [row for row in rows if row[: len(prefix)] == prefix]
    deepest = 4 + layer
    expected = [len(prefix) + fewest_tokens(fitting, prefix)] * deepest
    if deepest >= 0:
        # In the last layer that is needed, only each text's last token goes on after attention.
        expected.append(len(set(map(tuple, fitting))))
    expected += [0] * (4 - len(expected))
    assert list(map(sum, counted(fitting, layer))) == expected


def test_packs_are_of_even_size(counted, prefix):
    # The prefix runs in front of the first.
    assert counted([[*prefix, 7, token] for token in range(20)])[0] == [len(prefix) + 14, 14, 12]
