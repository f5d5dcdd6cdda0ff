"""Every sentence-transformers model has a fingerprint, with whatever tokenizer it carries."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import BoW, Pooling, StaticEmbedding, WordEmbeddings
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer

from prompteol import fingerprint
from small_models import base_model_folder

WORDS = ["a", "guitar", "horse", "snow"]


def static_embedding(words=WORDS, *, lowercase=False):
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="a"))
    tokenizer.pre_tokenizer = Whitespace()
    if lowercase:
        tokenizer.normalizer = Lowercase()
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")


def word_embeddings(words=WORDS, *, stop_words=("a", "the", "of", "in"), tokenizer=None):
    tokenizer = tokenizer or WhitespaceTokenizer(words, stop_words=set(stop_words), do_lower_case=True)
    size = len(words) if isinstance(tokenizer, WhitespaceTokenizer) else len(tokenizer)
    embeddings = WordEmbeddings(tokenizer, torch.arange(4.0 * size).reshape(size, 4))
    return SentenceTransformer(modules=[embeddings, Pooling(4)], device="cpu")


def bag_of_words(words=WORDS):
    return SentenceTransformer(modules=[BoW(words, {"horse": 2.0})], device="cpu")


def wrapped_tokenizer(*, chat_template=None):
    tokenizer = AutoTokenizer.from_pretrained(base_model_folder())
    tokenizer.chat_template = chat_template
    return word_embeddings(tokenizer=tokenizer)


MODELS = [static_embedding, word_embeddings, bag_of_words, wrapped_tokenizer]


@pytest.mark.parametrize("make", MODELS)
def test_a_model_and_its_saved_form_have_one_fingerprint(make, tmp_path):
    model = make()
    assert fingerprint(model) == fingerprint(make())
    model.save_pretrained(str(tmp_path))
    assert fingerprint(SentenceTransformer(str(tmp_path), device="cpu")) == fingerprint(model)


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (static_embedding, {"words": WORDS[::-1]}),
        (static_embedding, {"lowercase": True}),
        (word_embeddings, {"words": WORDS[::-1]}),
        (word_embeddings, {"stop_words": ["snow"]}),
        (bag_of_words, {"words": WORDS[::-1]}),
        (wrapped_tokenizer, {"chat_template": "{{ messages }}"}),
    ],
)
def test_another_tokenizer_is_another_model(make, other):
    assert fingerprint(make(**other)) != fingerprint(make())


def test_a_router_goes_by_the_tokenizer_it_shows():
    router = Router.for_query_document([static_embedding()[0]], [static_embedding()[0]])
    assert len(fingerprint(SentenceTransformer(modules=[router], device="cpu"))) == 64


def test_a_routers_own_modules_count():
    def routed(mode, **options):
        torch.manual_seed(0)
        paths = [[word_embeddings()[0], Pooling(4, mode)], [word_embeddings()[0], Pooling(4, "mean")]]
        return SentenceTransformer(modules=[Router.for_query_document(*paths, **options)], device="cpu")

    assert fingerprint(routed("mean")) == fingerprint(routed("mean"))
    assert fingerprint(routed("mean")) != fingerprint(routed("max"))
    mapped = Router({"one": [static_embedding()[0]]}, default_route="one", route_mappings={("query", "text"): "one"})
    assert len(fingerprint(SentenceTransformer(modules=[mapped], device="cpu"))) == 64


def test_the_order_of_a_set_does_not_count():
    """For words Python deals it out anew in each process; these two numbers collide in every one."""
    one, other = [0, 8], [8, 0]
    assert list(set(one)) != list(set(other))
    assert fingerprint(word_embeddings(stop_words=one)) == fingerprint(word_embeddings(stop_words=other))
