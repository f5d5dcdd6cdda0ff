"""Small random models in the forms that embedders and rerankers of today have, and texts of many lengths."""

import tempfile
import warnings

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import processors
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from prompteol.compat import read_output
from prompteol.testing import tiny_tokenizer

torch.set_num_threads(1)

INSTRUCTION = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
TEXTS = [
    "A man is playing a guitar.",
    "two dogs",
    "The president is riding a horse and playing a guitar in the snow today.",
    " ".join(["word"] * 40),
    "a",
    "",
    "Two dogs run in the snow.",
    "two dogs",
    'means in one word:"',
]
_ROTARY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_BERT = {name: value for name, value in _ROTARY.items() if name != "num_key_value_heads"}
SHAPES = {
    "bert": _BERT,
    "bloom": {"hidden_size": 32, "n_layer": 4, "n_head": 4},
    "gemma2": {
        **_ROTARY,
        "head_dim": 8,
        "sliding_window": 9,
        "query_pre_attn_scalar": 8,
        "final_logit_softcapping": 3.0,
    },
    "gemma3_text": {**_ROTARY, "head_dim": 8, "sliding_window": 9, "query_pre_attn_scalar": 8},
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 512},
    "llama": _ROTARY,
    "mistral": {**_ROTARY, "sliding_window": 9},
    "qwen3": {**_ROTARY, "head_dim": 8},
    "xlm-roberta": _BERT,
}
RERANKING = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: Given a web '
    "search query, retrieve relevant passages that answer the query\n<Query>: "
    "{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n<Document>: "
    "{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def language_model_folder(name, auto=AutoModel, *, eos=False, **settings):
    tokenizer = tiny_tokenizer("qwen2")
    tokenizer.model_max_length = 400
    if eos:
        end = tokenizer.eos_token
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, tokenizer.eos_token_id)]
        )
    config = AutoConfig.for_model(
        name,
        vocab_size=len(tokenizer),
        initializer_range=0.15,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=1,
        eos_token_id=tokenizer.eos_token_id,
        **SHAPES[name] | settings,
    )
    folder = tempfile.mkdtemp(prefix="prompteol-tests-")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_embedder(name="qwen3", *, side="left", mode="lasttoken", eos=True, after=(), include_prompt=True, **settings):
    transformer = Transformer(language_model_folder(name, eos=eos, **settings))
    transformer.tokenizer.padding_side = side
    pooling = Pooling(transformer.get_embedding_dimension(), mode, include_prompt=include_prompt)
    prompts = {"query": INSTRUCTION, "document": ""}
    return SentenceTransformer(modules=[transformer, pooling, *after], prompts=prompts, device="cpu")


def build_reranker(name="qwen3", task="text-generation", **settings):
    auto = {
        "text-generation": AutoModelForCausalLM,
        "sequence-classification": AutoModelForSequenceClassification,
    }[task]
    labels = {"num_labels": 1} if task == "sequence-classification" else {}
    transformer = Transformer(language_model_folder(name, auto, **settings, **labels), transformer_task=task)
    if task == "sequence-classification":
        return CrossEncoder(modules=[transformer], device="cpu")
    read_output(transformer, "logits")
    transformer.module_output_name = "causal_logits"
    transformer.tokenizer.chat_template = RERANKING
    return CrossEncoder(modules=[transformer, LogitScore(5, 9)], device="cpu")


def engines(model):
    return list(vars(model[0])["forward"]._engines.values())


def packed_tokens(model):
    return sum(engine.counters.text_tokens for engine in engines(model))


def assert_same(ours, stock):
    np.testing.assert_allclose(ours, stock, rtol=0, atol=1e-5 * max(1.0, float(np.abs(stock).max())))


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture
def embedder():
    return build_embedder()


@pytest.fixture
def reranker():
    return build_reranker()
