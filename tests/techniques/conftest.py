"""Texts, and their states by plain transformers: one prompt at a time, no packing, no cache."""

import random
from functools import cache

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

WORDS = ["man", "cat", "dog", "two", "is", "riding", "running", "guitar", "horse", "snow", "on", "of", "red"]


@pytest.fixture(scope="session")
def texts():
    chance = random.Random(0)
    return list(dict.fromkeys(" ".join(chance.choices(WORDS, k=chance.randint(1, 8))) for _ in range(80)))


@cache
def _plain(folder):
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


@pytest.fixture(scope="session")
def plain_states():
    """``hidden_states[layer]`` at the last token of each prompt, (prompts, width)."""

    @torch.inference_mode()
    def states(folder, prompts, layer):
        tokenizer, model = _plain(folder)
        rows = [torch.tensor([tokenizer(prompt)["input_ids"]]) for prompt in prompts]
        found = [model(input_ids=row, output_hidden_states=True).hidden_states[layer][0, -1] for row in rows]
        return torch.stack(found).double().numpy()

    return states


@pytest.fixture
def close():
    """Whether two arrays are equal to 1e-5 of the largest entry."""
    return lambda ours, reference: np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()
