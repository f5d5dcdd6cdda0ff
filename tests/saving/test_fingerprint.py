"""Every sentence-transformers model has a fingerprint, with whatever tokenizer it carries."""

from __future__ import annotations

import copy
import json
import shutil

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

from prompteol import PromptEOL, fingerprint
from prompteol.saving import remembering_frozen_weights
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


def settings(folder, **changed):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def tokenizer_parts(folder, change):
    path = folder / "tokenizer.json"
    parts = json.loads(path.read_text())
    change(parts)
    path.write_text(json.dumps(parts))


EDITS = {
    "heads": lambda folder: settings(folder, num_attention_heads=2, num_key_value_heads=1, head_dim=16),
    "epsilon": lambda folder: settings(folder, rms_norm_eps=0.1),
    "activation": lambda folder: settings(folder, hidden_act="relu"),
    "angles": lambda folder: settings(folder, rope_parameters={"rope_type": "default", "rope_theta": 10.0}),
    "merges": lambda folder: tokenizer_parts(folder, lambda parts: parts["model"]["merges"].reverse()),
    "normalizer": lambda folder: tokenizer_parts(folder, lambda parts: parts.update(normalizer={"type": "Lowercase"})),
    "added token": lambda folder: tokenizer_parts(
        folder, lambda parts: parts["added_tokens"][-1].update(single_word=True, lstrip=True)
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_is_another_model(tmp_path, edit):
    shutil.copytree(base_model_folder(), tmp_path, dirs_exist_ok=True)
    before = PromptEOL(tmp_path, device="cpu").fingerprint()
    assert before == PromptEOL(base_model_folder(), device="cpu").fingerprint()
    EDITS[edit](tmp_path)
    assert PromptEOL(tmp_path, device="cpu").fingerprint() != before


def test_what_no_vector_depends_on_does_not_count(tmp_path):
    shutil.copytree(base_model_folder(), tmp_path, dirs_exist_ok=True)
    before = PromptEOL(tmp_path, device="cpu").fingerprint()
    settings(tmp_path, use_cache=False, initializer_range=0.5, attention_dropout=0.1, architectures=["LlamaModel"])
    assert PromptEOL(tmp_path, device="cpu").fingerprint() == before


def test_a_model_keeps_its_fingerprint_by_every_road(tiny, tmp_path, architecture):
    """Used, copied, saved by either library and loaded by either, from wherever the files lie."""
    model = PromptEOL(tiny(architecture), device="cpu")
    expected = model.fingerprint()
    model.encode(["A man sings.", "Why?"])
    model.save(tmp_path / "ours")
    stock = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    stock.save(str(tmp_path / "stock"))
    loaded = [PromptEOL(tmp_path / name, device="cpu") for name in ("ours", "stock")]
    for other in (model, copy.deepcopy(model), stock, *loaded):
        assert fingerprint(other) == expected


def test_the_scaling_of_an_adapter_counts():
    peft = pytest.importorskip("peft")

    def scaled(alpha):
        model = PromptEOL(base_model_folder(), device="cpu")
        torch.manual_seed(0)
        model.add_adapter(peft.LoraConfig(lora_alpha=alpha, target_modules=["q_proj"], init_lora_weights=False))
        return model.fingerprint()

    assert scaled(8) == scaled(8)
    assert scaled(8) != scaled(16)


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


def test_frozen_weights_are_hashed_once_within_a_block_and_trained_ones_each_time():
    model = bag_of_words()
    model.add_module("1", torch.nn.Linear(4, 4))
    model.add_module("2", torch.nn.Linear(4, 4).requires_grad_(False))
    trained, frozen = (next(model[place].parameters()).data for place in (1, 2))
    with remembering_frozen_weights():
        first = fingerprint(model)
        frozen += 1
        assert fingerprint(model) == first
        trained += 1
        assert (second := fingerprint(model)) != first
    assert fingerprint(model) not in (first, second)
