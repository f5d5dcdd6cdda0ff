"""Every kind of adapter that peft has gives the same vectors saved, loaded and merged, or is refused with one line."""

import logging

import numpy as np
import peft
import pytest
import torch
from peft import get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.errors import ModelError
from prompteol.training import merge

pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = ["A man is playing a guitar.", "Why", "The woman rides."]
TARGETS = {"opt": ["q_proj", "v_proj"], "llama": ["q_proj", "o_proj"], "gpt2": ["c_attn"]}
WIDE = {"opt": ["fc1"], "llama": ["down_proj"], "gpt2": ["mlp.c_fc"]}
EMBEDDINGS = {"opt": "embed_tokens", "llama": "embed_tokens", "gpt2": "wte"}
NORM = {"opt": "final_layer_norm", "llama": "norm", "gpt2": "ln_f"}


def lora(**options):
    return lambda a: peft.LoraConfig(r=4, **{"target_modules": TARGETS[a], "fan_in_fan_out": a == "gpt2", **options})


KINDS = {
    "lora": lora(),
    "rslora": lora(use_rslora=True),
    "dora": lora(use_dora=True),
    "pissa": lora(init_lora_weights="pissa"),
    "pissa by random projections": lora(init_lora_weights="pissa_niter_4"),
    "olora": lora(init_lora_weights="olora"),
    "orthogonal": lora(init_lora_weights="orthogonal"),
    "eva": lora(init_lora_weights="eva", eva_config=peft.EvaConfig()),
    "all biases": lora(bias="all"),
    "biases of lora": lora(bias="lora_only"),
    "bias of B": lora(lora_bias=True),
    "saved embeddings": lambda a: lora(modules_to_save=[EMBEDDINGS[a]])(a),
    "saved norm": lambda a: lora(modules_to_save=[NORM[a]])(a),
    "trained tokens": lora(trainable_token_indices=[5, 36, 300]),
    "embeddings": lambda a: lora(target_modules=[*TARGETS[a], EMBEDDINGS[a]])(a),
    "patterns": lambda a: lora(rank_pattern={TARGETS[a][0]: 2}, alpha_pattern={TARGETS[a][0]: 7})(a),
    "one layer": lora(layers_to_transform=[1]),
    "ia3": lambda a: peft.IA3Config(target_modules=TARGETS[a] + WIDE[a], feedforward_modules=WIDE[a]),
    "oft": lambda a: peft.OFTConfig(r=0, oft_block_size=4, target_modules=TARGETS[a]),
    "boft": lambda a: peft.BOFTConfig(boft_block_size=4, target_modules=TARGETS[a]),
    "fourierft": lambda a: peft.FourierFTConfig(n_frequency=20, target_modules=TARGETS[a]),
    "vera": lambda a: peft.VeraConfig(r=4, target_modules=TARGETS[a]),
    "vera without projections": lambda a: peft.VeraConfig(r=4, save_projection=False, target_modules=TARGETS[a]),
    "adalora": lambda a: peft.AdaLoraConfig(init_r=4, target_r=2, total_step=10, target_modules=TARGETS[a]),
    "ln tuning": lambda a: peft.LNTuningConfig(target_modules=[NORM[a]]),
    "vblora": lambda a: peft.VBLoRAConfig(r=4, num_vectors=16, vector_length=8, target_modules=TARGETS[a]),
    "c3a": lambda a: peft.C3AConfig(block_size=8, target_modules=TARGETS[a]),
    "road": lambda a: peft.RoadConfig(group_size=8, target_modules=TARGETS[a]),
    "tokens alone": lambda a: peft.TrainableTokensConfig(token_indices=[5, 36, 300], target_modules=[EMBEDDINGS[a]]),
    "prefix tuning": lambda a: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prompt tuning": lambda a: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
}
# Named above; XLoRA mixes other adapters.
NAMED = """
    lora xlora ia3 oft boft fourierft vera adalora ln_tuning vblora c3a road trainable_tokens prefix_tuning
    prompt_tuning
"""


def configure(cls, architecture):
    try:
        config = cls(target_modules=TARGETS[architecture])
    except (TypeError, ValueError):
        config = cls(task_type="CAUSAL_LM")
    if isinstance(getattr(config, "r", None), int) and config.r > 4:
        config.r = 4
    return config


# Every further kind that the installed peft has, in its default form.
KINDS |= {
    kind.value.lower(): lambda a, cls=cls: configure(cls, a)
    for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    if kind.value.lower() not in NAMED.split()
}


def train(model):
    """Give an adapter weights as training leaves them: none of them as they were initialized."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def said(do, *args, **options):
    """Return the one line with which something is refused, or nothing where it is done."""
    line = ""
    try:
        do(*args, **options)
    except ModelError as error:
        line = str(error)
    assert "\n" not in line
    return line


def close(got, expected):
    return np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@torch.inference_mode()
def states(language_model, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS:
        prompt = f'This sentence : "{text.removesuffix(".")}." means in one word:"'
        batch = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        rows.append(language_model(**batch, output_hidden_states=True).hidden_states[-1][0, -1].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_added_saved_and_loaded_by_both(tiny, tmp_path, kind):
    architecture = "llama"
    model = PromptEOL(tiny(architecture), device="cpu")
    config = KINDS[kind](architecture)
    shared = getattr(PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type], "uses_shared_state", False)
    try:
        if shared:
            get_peft_model(model.module.transformer.model, config)
        else:
            model.add_adapter(config)
        expected = train(model).encode(TEXTS)
    except (ValueError, RuntimeError) as error:
        pytest.skip(f"peft itself: {error}")
    refused = said(model.save_pretrained, tmp_path / "saved", create_model_card=False)
    if refused:
        assert "cannot be saved for stock loaders" in refused
        assert not (tmp_path / "saved").exists()
        return
    assert close(model.encode(TEXTS), expected), "saving changed the model"
    for loaded in (
        PromptEOL(tmp_path / "saved", device="cpu"),
        SentenceTransformer(str(tmp_path / "saved"), device="cpu"),
    ):
        assert close(loaded.encode(TEXTS), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_trained_on_the_language_model(tiny, tmp_path, kind):
    architecture = "llama"
    base, folder = tiny(architecture), tmp_path / "adapter"
    try:
        trained = train(get_peft_model(AutoModelForCausalLM.from_pretrained(base), KINDS[kind](architecture)))
        expected = states(trained, base)
        trained.save_pretrained(folder)
    except (AttributeError, AssertionError, ValueError, RuntimeError, TypeError) as error:
        pytest.skip(f"peft itself: {error}")
    refused = said(PromptEOL, folder, device="cpu")
    if refused:
        assert "another model" not in refused
        return
    assert close(PromptEOL(folder, device="cpu").encode(TEXTS), expected)
    if not said(merge, folder, device="cpu"):
        assert close(merge(folder, device="cpu").model.encode(TEXTS), expected)


def test_saving_tells_nothing_of_the_trial_before_it(tiny, tmp_path):
    model, heard = PromptEOL(tiny("llama"), device="cpu"), []
    model.add_adapter(KINDS["dora"]("llama"))
    train(model)
    handler = logging.Handler()
    handler.emit = heard.append
    logging.getLogger("transformers").addHandler(handler)
    try:
        model.save_pretrained(tmp_path / "saved", create_model_card=False)
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert heard == []
