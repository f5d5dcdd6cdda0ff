"""Adapters that name modules from the causal LM down, or were trained with a larger vocabulary, load as through it."""

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.errors import ModelError
from prompteol.training import merge

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = {
    "a whole path": {"target_modules": ["model.layers.1.self_attn.q_proj"]},
    "a regular expression": {"target_modules": r"model\.layers\.[12]\.self_attn\.(q|v)_proj"},
    "some layers": {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]},
    "all but one": {"target_modules": ["q_proj"], "exclude_modules": r"model\.layers\.0\..*"},
    "patterns": {"target_modules": r".*\.q_proj", "rank_pattern": {"model.layers.1.self_attn.q_proj": 2}},
    "a saved path": {"target_modules": ["q_proj"], "modules_to_save": ["model.layers.1.input_layernorm"]},
    "a saved head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "trained rows": {"target_modules": ["q_proj"], "trainable_token_indices": {"model.embed_tokens": [5, 36]}},
}


def trained(base, config, rows=None):
    language_model = AutoModelForCausalLM.from_pretrained(base)
    if rows:
        language_model.resize_token_embeddings(rows, mean_resizing=False)
    model = get_peft_model(language_model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@torch.inference_mode()
def state(model, folder, text="A man sings."):
    batch = AutoTokenizer.from_pretrained(folder)(f'This sentence : "{text}" means in one word:"', return_tensors="pt")
    return model(**batch, output_hidden_states=True).hidden_states[-1][0, -1].numpy()


def check(folder, expected, tmp_path, text="A man sings."):
    ours = PromptEOL(folder, device="cpu")
    ours.save_pretrained(tmp_path / "saved", create_model_card=False)
    again, stock = (
        PromptEOL(tmp_path / "saved", device="cpu"),
        SentenceTransformer(str(tmp_path / "saved"), device="cpu"),
    )
    for model in (ours, again, stock, merge(folder, device="cpu").model):
        assert np.abs(model.encode(text) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tied", [True, False])
def test_names_from_the_language_model_down(tiny, tmp_path, name, tied):
    base = tiny("llama", tied=tied)
    model = trained(base, LoraConfig(r=4, **NAMES[name]))
    model.save_pretrained(tmp_path / "adapter")
    check(tmp_path / "adapter", state(model, base), tmp_path)


def test_feedforward_modules_by_a_regular_expression(tiny, tmp_path):
    base = tiny("llama")
    targets = {"target_modules": r"model\..*(k_proj|down_proj)", "feedforward_modules": r"model\..*down_proj"}
    model = trained(base, IA3Config(**targets))
    model.save_pretrained(tmp_path / "adapter")
    check(tmp_path / "adapter", state(model, base), tmp_path)


def test_a_path_that_means_more_on_the_backbone_is_refused(tiny, tmp_path):
    """peft goes by the ends of names: "norm" is the end of "layers.0.input_layernorm" too."""
    model = trained(tiny("llama"), LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["model.norm"]))
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"whole path.*'layers\.0\.input_layernorm' the first"):
        PromptEOL(tmp_path, device="cpu")


def test_the_head_alone_is_refused(tiny, tmp_path):
    model = trained(tiny("llama", tied=False), LoraConfig(r=4, target_modules=["lm_head"]))
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    with pytest.raises(ModelError, match="LM head alone"):
        PromptEOL(tmp_path, device="cpu")


def test_a_vocabulary_that_has_grown(tiny, tmp_path):
    base = tiny("llama")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<new>"])
    rows = len(tokenizer)
    model = trained(base, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"]), rows)
    model.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    text = "A <new> man sings."
    check(tmp_path / "adapter", state(model, tmp_path / "adapter", text), tmp_path, text)
