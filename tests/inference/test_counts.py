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


def test_a_prefix_is_computed_once(warm, rows, prefix):
    assert warm.counters.prefix_tokens == len(prefix)
    for layer in (-1, -3, -1):
        warm.last_token_states(rows, prefix=prefix, layer=layer)
    assert warm.counters.prefix_tokens == len(prefix)


@pytest.mark.parametrize(("room", "recomputed"), [(5, 1), (25, 0)])
def test_as_many_prefixes_are_kept_as_there_is_room_for(backbone, rows, prefix, room, recomputed):
    engine = SharedPrefixEngine(backbone("llama"), cached_tokens=room * len(prefix))
    engine.last_token_states(rows, prefix=prefix)
    for other in range(20):
        engine.last_token_states([[other, *rows[0][1:]]], prefix=[other, *prefix[1:]])
    computed = engine.counters.prefix_tokens
    engine.last_token_states(rows, prefix=prefix)
    assert engine.counters.prefix_tokens == computed + recomputed * len(prefix)


def test_the_prefix_that_was_not_used_for_longest_makes_room(backbone, rows, prefix):
    engine = SharedPrefixEngine(backbone("llama"), cached_tokens=2 * len(prefix))
    prefixes = [[first, *prefix[1:]] for first in (11, 12, 13)]
    for number in (0, 1, 0, 2, 0):
        engine.last_token_states([[*prefixes[number], 7]], prefix=prefixes[number])
    assert engine.counters.prefix_tokens == 3 * len(prefix)


def test_a_prefix_and_its_layers_are_checked_once(warm, rows, prefix):
    checks = warm.counters.checks
    warm.last_token_states(rows, prefix=prefix)
    assert warm.counters.checks == checks
    warm.last_token_states(rows, prefix=prefix, layer=-2)
    assert warm.counters.checks == checks + 2  # one with the prefix, one for the row that does not start with it


def test_a_much_longer_row_is_checked_again(warm, rows, prefix):
    checks = warm.counters.checks
    warm.last_token_states([rows[0] * 2], prefix=prefix)
    assert warm.counters.checks == checks
    warm.last_token_states([rows[0] * 10], prefix=prefix)
    assert warm.counters.checks == checks + 1


@pytest.mark.parametrize("layer", [-1, -2, -4, -5])
def test_only_the_layers_needed_run(warm, rows, prefix, layer):
    # The twin shares the modules inside the layers, so a hook on them sees what it computes.
    warm.last_token_states(rows, prefix=prefix, layer=layer)
    seen = {}
    for index, block in enumerate(warm.backbone.layers):
        block.mlp.up_proj.register_forward_hook(
            lambda _, inputs, __, index=index: seen.__setitem__(index, seen.get(index, 0) + inputs[0].shape[1])
        )
    fitting = [row for row in rows if row[: len(prefix)] == prefix]
    warm.last_token_states(fitting, prefix=prefix, layer=layer)
    deepest = len(warm.backbone.layers) + layer
    expected = dict.fromkeys(range(deepest), fewest_tokens(fitting, prefix))
    if deepest >= 0:
        # In the last layer that is needed, only each text's last token goes on after attention.
        expected[deepest] = len(set(map(tuple, fitting)))
    assert seen == expected


def test_packs_are_of_even_size(warm, rows, prefix):
    sizes = []
    warm.backbone.layers[0].mlp.up_proj.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape[1]))
    warm.last_token_states([[*prefix, 7, token] for token in range(20)], prefix=prefix)
    assert sizes == [14, 14, 12]
