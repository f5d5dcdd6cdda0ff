"""A text that is too long for one sentence vector is mentioned, once."""

from __future__ import annotations

import warnings

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from prompteol.embedder import TextEmbedder
from prompteol.embedder.long_texts import SENSIBLE_TOKENS, LongTextWarning
from small_models import base_model_folder

LONG = "The cat sat on the mat. " * 100


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_long_text_is_mentioned_once(model, task):
    embedder = TextEmbedder(model)
    with pytest.warns(LongTextWarning, match=rf"tokens.*{SENSIBLE_TOKENS} tokens.*windows"):
        embedder.embed(["short", LONG], task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(embedder.embed([LONG, LONG + LONG], task)) == 2


def test_the_next_embedder_says_it_again(model):
    for _ in range(2):
        with pytest.warns(LongTextWarning):
            TextEmbedder(model).embed([LONG], "document")


def test_a_text_of_many_characters_and_few_tokens_is_none_of_it(model):
    words = "This sentence means in one word"
    texts = [" ".join([words] * 36), "short"]
    assert len(texts[0]) > 4 * SENSIBLE_TOKENS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(TextEmbedder(model).embed(texts, "document")) == 2


def test_a_model_that_cuts_earlier_says_so_earlier(build):
    model = build()
    model.max_seq_length = 48
    room = 48 - len(model.preprocess([""])["input_ids"][0])
    assert 0 < room < 48
    with pytest.warns(LongTextWarning, match=f"past {room} tokens"):
        TextEmbedder(model).embed(["The cat sat on the mat. " * 12], "document")


def test_a_text_of_few_bytes_and_many_tokens_is_seen_beside_a_longer_one(model):
    plain, dense = " ".join(["This sentence means in one word"] * 36), "日本語" * 115
    assert len(plain.encode()) > len(dense.encode())
    with pytest.warns(LongTextWarning):
        TextEmbedder(model).embed([plain, dense], "document")


def test_a_book_is_not_read_to_its_end(model, monkeypatch):
    lengths: list[int] = []
    tokenizer_class = type(model.tokenizer)
    original = tokenizer_class.__call__

    def watched(self: object, text: object, *args: object, **kwargs: object) -> object:
        if isinstance(text, str):
            lengths.append(len(text))
        return original(self, text, *args, **kwargs)

    monkeypatch.setattr(tokenizer_class, "__call__", watched)
    with pytest.warns(LongTextWarning, match="more than"):
        TextEmbedder(model).notice.check(model, [LONG * 1000])
    assert max(lengths) < 20 * SENSIBLE_TOKENS


def test_a_router_without_a_default_route():
    pad = {"pad_token": "</s>"}
    paths = [[Transformer(base_model_folder(), processor_kwargs=pad), Pooling(32)] for _ in range(2)]
    router = Router.for_query_document(*paths, default_route=None, allow_empty_key=False)
    embedder = TextEmbedder(SentenceTransformer(modules=[router], device="cpu"))
    with pytest.warns(LongTextWarning):
        assert len(embedder.embed([LONG], "document")) == 1
