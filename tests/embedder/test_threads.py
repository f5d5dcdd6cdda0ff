"""Threads that share a model: every vector right, nobody inside at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from prompteol.embedder import TextEmbedder

THREADS, CALLS = 16, 60
TEXTS = [" ".join(("two dogs run in the snow and " * 3).split()[: length + 1]) for length in range(21)]


def test_sixteen_threads_get_every_vector_right(model):
    expected = {task: [TextEmbedder(model).embed([text], task)[0] for text in TEXTS] for task in ("query", "document")}
    start = Barrier(THREADS)

    def work(thread: int) -> list[tuple[str, int, list[float]]]:
        embedder = TextEmbedder(model)
        start.wait()
        results = []
        for call in range(CALLS):
            task = "query" if (thread + call) % 2 else "document"
            index = (thread * 7 + call) % len(TEXTS)
            results.append((task, index, embedder.embed([TEXTS[index]], task)[0]))
        return results

    with ThreadPoolExecutor(THREADS) as pool:
        results = [result for batch in pool.map(work, range(THREADS)) for result in batch]
    assert len(results) == THREADS * CALLS
    wrong = [(task, i) for task, i, vector in results if not np.allclose(vector, expected[task][i], atol=1e-5)]
    assert wrong == []


def test_two_embedders_over_one_model_never_overlap(model, monkeypatch):
    inside, most = 0, 0
    original = model.preprocess

    def watched(*args: object, **kwargs: object) -> object:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        try:
            return original(*args, **kwargs)
        finally:
            inside -= 1

    monkeypatch.setattr(model, "preprocess", watched)
    embedders = [TextEmbedder(model), TextEmbedder(model, prompts={"query": "Find: "})]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda call: embedders[call % 2].embed([TEXTS[call]], "query"), range(16)))
    assert most == 1


def test_the_tokenizers_shared_state_never_meets_two_threads(build, monkeypatch):
    """The race, widened: another thread may set truncation and padding before the first has used its own."""
    model = build()
    tokenizer_class = type(model.tokenizer)
    original = tokenizer_class.set_truncation_and_padding

    def slow(self: object, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        time.sleep(0.002)

    embedder = TextEmbedder(model)
    batches = [TEXTS[:1], TEXTS[3:9], ["horse " * 200], TEXTS[::4]]
    expected = [embedder.embed(batch, "document") for batch in batches]
    monkeypatch.setattr(tokenizer_class, "set_truncation_and_padding", slow)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda call: embedder.embed(batches[call % len(batches)], "document"), range(64)))
    for call, vectors in enumerate(found):
        np.testing.assert_allclose(vectors, expected[call % len(batches)], atol=1e-5)


def test_an_error_gives_the_lock_back(model):
    embedder = TextEmbedder(model, encode_kwargs={"prompt_name": "no such prompt"})
    with pytest.raises(ValueError, match="no such prompt"):
        embedder.embed(["a"], "query")
    with ThreadPoolExecutor(1) as pool:
        vectors = pool.submit(TextEmbedder(model).embed, ["a"], "query").result(timeout=60)
    assert len(vectors) == 1
