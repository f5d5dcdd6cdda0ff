"""Models and tokenizers with habits of their own: a stock loader gets the same vectors, and the right ones."""

import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModelForCausalLM, AutoTokenizer, RwkvConfig

from prompteol import PromptEOL

TEXTS = ["A man is playing a guitar.", "Why", "a text past the limit " * 20]


def same_everywhere(model, folder):
    """Save a model, and return its vectors once a stock loader has given the same."""
    model.save_pretrained(str(folder), create_model_card=False)
    ours = model.encode(TEXTS)
    stock = SentenceTransformer(str(folder), device="cpu")
    for vectors in (stock.encode(TEXTS), stock.encode_query(TEXTS), PromptEOL(folder, device="cpu").encode(TEXTS)):
        assert np.abs(vectors - ours).max() < 1e-5 * np.abs(ours).max()
    return ours


@torch.inference_mode()
def whole_prompt(folder, text):
    batch = AutoTokenizer.from_pretrained(folder)(f'This sentence : "{text}." means in one word:"', return_tensors="pt")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return model(input_ids=batch["input_ids"], output_hidden_states=True).hidden_states[-1][0, -1].numpy()


@pytest.mark.parametrize("front", [["</s>"], ["</s>", "<s>"]])
def test_other_special_tokens_than_bos_in_front(tiny, tmp_path, front):
    base = shutil.copytree(tiny("llama"), tmp_path / "base")
    file = base / "tokenizer.json"
    settings = json.loads(file.read_text())
    ids = {token["content"]: token["id"] for token in settings["added_tokens"]}
    settings["post_processor"] |= {
        "single": [
            *({"SpecialToken": {"id": one, "type_id": 0}} for one in front),
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "special_tokens": {one: {"id": one, "ids": [ids[one]], "tokens": [one]} for one in {*front, "<s>"}},
    }
    file.write_text(json.dumps(settings))
    model = PromptEOL(base, device="cpu")
    assert model.preprocess(["a"])["input_ids"][0].tolist()[: len(front)] == [ids[one] for one in front]
    ours = same_everywhere(model, tmp_path / "saved")
    expected = whole_prompt(base, "Why")
    assert np.abs(ours[1] - expected).max() < 1e-5 * np.abs(expected).max()


def test_token_types_are_left_out(tiny, tmp_path):
    """GPT-2 adds the embedding of a token's type, which is that of a piece, to every position."""
    base = shutil.copytree(tiny("gpt2"), tmp_path / "base")
    file = base / "tokenizer_config.json"
    names = ["input_ids", "token_type_ids", "attention_mask"]
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_input_names": names}))
    assert "token_type_ids" in AutoTokenizer.from_pretrained(base)("a")
    ours = same_everywhere(PromptEOL(base, device="cpu"), tmp_path / "saved")
    expected = whole_prompt(base, "Why")
    assert np.abs(ours[1] - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("layer", [-1, -2])
@pytest.mark.filterwarnings("ignore:RwkvModel cannot be run with a shared prefix")
def test_weights_that_would_rescale_themselves(tiny, tmp_path, layer):
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    torch.manual_seed(0)
    config = RwkvConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=7, context_length=512)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model = PromptEOL(tmp_path / "base", layer=layer, device="cpu")
    first = model.encode(TEXTS)
    assert np.array_equal(first, model.encode(TEXTS))
    same_everywhere(model, tmp_path / "saved")


def test_lengths_that_only_the_stock_module_obeys(tiny, tmp_path):
    transformer = Transformer(tiny("llama"))
    transformer.query_length = 24
    transformer.processing_kwargs = {"text": {"max_length": 30}}
    stock = SentenceTransformer(modules=[transformer, Pooling(32, "lasttoken")], device="cpu")
    stock.save_pretrained(str(tmp_path / "stock"))
    same_everywhere(PromptEOL(tmp_path / "stock", template="prompteol", device="cpu"), tmp_path / "saved")
