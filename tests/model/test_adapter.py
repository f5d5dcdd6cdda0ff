"""A LoRA adapter is base plus adapter, to the last bit, however it was trained, and never silently left out."""

import shutil

import numpy as np
import peft
import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.errors import ModelError

TARGETS = {"opt": ["q_proj", "fc1"], "llama": ["q_proj", "down_proj"], "gpt2": ["c_attn"], "qwen2": ["v_proj"]}


def train_adapter(base, folder, architecture, safetensors=True):
    """Put random LoRA weights on the language model, as training on the whole causal LM leaves them."""
    language_model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS[architecture], fan_in_fan_out=architecture == "gpt2")
    model = get_peft_model(language_model, config)
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return model.eval()


@torch.inference_mode()
def last_state(model, folder, prompt):
    batch = AutoTokenizer.from_pretrained(folder)(prompt, return_tensors="pt", return_token_type_ids=False)
    return model(**batch, output_hidden_states=True).hidden_states[-1][0, -1].numpy()


def test_base_and_adapter_together(tiny, architecture, tmp_path):
    base = tiny(architecture)
    trained = train_adapter(base, tmp_path / "adapter", architecture)
    expected = last_state(trained, base, 'This sentence : "A man sings." means in one word:"')
    model = PromptEOL(tmp_path / "adapter", device="cpu")
    got = model.encode("A man sings")
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(got - PromptEOL(base, device="cpu").encode("A man sings")).max() > 0.1

    model.save_pretrained(tmp_path / "saved", create_model_card=False)
    for again in (
        PromptEOL(tmp_path / "saved", device="cpu"),
        SentenceTransformer(str(tmp_path / "saved"), device="cpu"),
    ):
        assert np.abs(again.encode("A man sings") - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("other", [{"layers": 2}, {"layers": 6}, {"hidden_size": 64}])
def test_an_adapter_of_another_model_is_refused(tiny, tmp_path, other, saved):
    train_adapter(tiny("llama"), tmp_path / "adapter", "llama")
    if saved:
        PromptEOL(tmp_path / "adapter", device="cpu").save_pretrained(tmp_path / "saved", create_model_card=False)
    folder = tmp_path / ("saved" if saved else "adapter")
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace(tiny("llama"), tiny("llama", **other)))
    with pytest.raises(ModelError, match="does not fit its base"):
        PromptEOL(folder, device="cpu")


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`", "ignore:Model has `tie_word_embeddings")
def test_an_adapter_of_the_token_embeddings(tiny, tmp_path):
    base = tiny("llama")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"])
    )
    for name, parameter in model.named_parameters():
        if "lora_embedding_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    expected = last_state(model.eval(), base, 'This sentence : "A man sings." means in one word:"')
    ours = PromptEOL(tmp_path / "adapter", device="cpu")
    ours.save_pretrained(tmp_path / "saved", create_model_card=False)
    for got in (ours, PromptEOL(tmp_path / "saved", device="cpu")):
        assert np.abs(got.encode("A man sings") - expected).max() < 1e-5 * np.abs(expected).max()


def test_what_an_adapter_has_for_the_head_is_left_out(tiny, tmp_path):
    base = tiny("llama", tied=False)
    language_model = AutoModelForCausalLM.from_pretrained(base)
    model = get_peft_model(language_model, LoraConfig(r=4, target_modules=["q_proj", "lm_head"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    expected = last_state(model.eval(), base, 'This sentence : "A man sings." means in one word:"')
    got = PromptEOL(tmp_path, device="cpu").encode("A man sings")
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("layer", [-1, -2])
def test_what_transformers_would_not_read_back_is_saved_merged(tiny, tmp_path, layer):
    """transformers loses DoRA's magnitudes, and says so in its log alone."""
    model = PromptEOL(tiny("llama"), layer=layer, device="cpu")
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"], use_dora=True))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    expected = model.eval().encode("A man sings.")
    with pytest.warns(UserWarning, match=r"saved merged into its base.*lora_magnitude_vector"):
        model.save_pretrained(tmp_path, create_model_card=False)
    assert not (tmp_path / "adapter_config.json").exists()
    again = PromptEOL(tmp_path, device="cpu")
    for got in (again, SentenceTransformer(str(tmp_path), device="cpu"), model):
        assert np.abs(got.encode("A man sings.") - expected).max() < 1e-5 * np.abs(expected).max()
    assert model.module.transformer.model.peft_config["default"].use_dora
    assert again.fingerprint() in (tmp_path / "prompteol.json").read_text()


@pytest.mark.parametrize(
    "config", [LoraConfig(r=2), PrefixTuningConfig(num_virtual_tokens=2, task_type="FEATURE_EXTRACTION")]
)
def test_a_model_in_a_wrapper_of_peft_is_not_saved(tiny, tmp_path, config):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.module.transformer.model = get_peft_model(model.module.transformer.model, config)
    with pytest.raises(ModelError, match=r"wrapped in PeftModel.*add_adapter"):
        model.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["PromptTuningConfig", "PrefixTuningConfig", "PromptEncoderConfig"])
@pytest.mark.parametrize("engine", ["auto", "stock"])
def test_virtual_tokens_are_refused(tiny, method, engine):
    """They would shift what is read of a batch, and not of a text alone."""
    model = PromptEOL(tiny("llama"), engine=engine, device="cpu")
    config = getattr(peft, method)(num_virtual_tokens=4, task_type="FEATURE_EXTRACTION")
    model.module.transformer.model = get_peft_model(model.module.transformer.model, config)
    model.eval()
    for texts in (["A man sings.", "Why?"], "A man sings."):
        with pytest.raises(ModelError, match=f"{method}, whose virtual tokens.*add_adapter"):
            model.encode(texts)


def test_a_wrapper_of_peft_that_changes_weights_alone(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    texts = ["A man sings.", "Why?", "Two dogs run in the snow."]
    plain = model.encode(texts)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model.module.transformer.model = get_peft_model(model.module.transformer.model, config).eval()
    stock = model.encode(texts, engine="stock")
    assert np.abs(stock - plain).max() > 0.1
    assert np.allclose(model.encode(texts), stock, atol=1e-5)


def larger_up_projection(backbone):
    backbone.layers[0].mlp.up_proj.weight.data.mul_(1.5)


def under_the_adapter(backbone):
    """A weight that the adapter is put on."""
    backbone.layers[1].self_attn.q_proj.weight.data.mul_(1.5)


def one_row(backbone):
    backbone.embed_tokens.weight.data[45] += 1.0


def more_tokens(backbone):
    backbone.resize_token_embeddings(backbone.config.vocab_size + 8)


@pytest.mark.parametrize("edit", [larger_up_projection, under_the_adapter, one_row, more_tokens])
def test_an_adapter_on_a_base_that_was_edited_is_saved_merged(tiny, tmp_path, edit):
    model = PromptEOL(tiny("llama"), device="cpu")
    edit(model.transformers_model)
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    expected = model.eval().encode("A man sings.")
    with pytest.warns(UserWarning, match=r"saved merged into its base.*would be put on"):
        model.save_pretrained(tmp_path, create_model_card=False)
    for again in (PromptEOL(tmp_path, device="cpu"), SentenceTransformer(str(tmp_path), device="cpu")):
        assert np.allclose(again.encode("A man sings."), expected, atol=1e-4)


def test_an_adapter_on_a_base_that_was_moved_is_saved_merged(tiny, tmp_path):
    shutil.copytree(tiny("llama"), tmp_path / "base")
    model = PromptEOL(tmp_path / "base", device="cpu")
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    expected = model.eval().encode("A man sings.")
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match=r"saved merged into its base.*cannot be read"):
        model.save_pretrained(tmp_path / "saved", create_model_card=False)
    assert np.allclose(PromptEOL(tmp_path / "saved", device="cpu").encode("A man sings."), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("saved", [False, True])
def test_an_adapter_on_an_unchanged_base_is_saved_alone(tiny, tmp_path, architecture, dtype, saved):
    """Whether the base is a language model or a saved model, and in whatever dtype it was loaded."""
    base = tiny(architecture)
    if saved:
        PromptEOL(base, device="cpu").save_pretrained(tmp_path / "base", create_model_card=False)
        base = tmp_path / "base"
    model = PromptEOL(base, model_kwargs={"dtype": dtype}, device="cpu")
    options = {"target_modules": "all-linear", "init_lora_weights": False, "fan_in_fan_out": architecture == "gpt2"}
    model.add_adapter(LoraConfig(r=4, **options), "mine")
    model.encode(["A man sings.", "Why?"])
    model.save_pretrained(tmp_path / "saved", create_model_card=False)
    assert (tmp_path / "saved" / "adapter_config.json").exists()
    again = PromptEOL(tmp_path / "saved", model_kwargs={"dtype": dtype}, device="cpu")
    assert again.fingerprint() == model.fingerprint()
    for loaded in (again, SentenceTransformer(str(tmp_path / "saved"), model_kwargs={"dtype": dtype}, device="cpu")):
        assert np.allclose(loaded.encode("A man sings."), model.encode("A man sings."), atol=1e-5)


@pytest.mark.parametrize("first", ["whole", "adapter", "base"])
@pytest.mark.parametrize("then", ["whole", "adapter"])
def test_saved_over_another_model(tiny, tmp_path, first, then):
    """A base with an adapter is saved where another base with or without one lay, or its own base."""

    def made(kind, base):
        model = PromptEOL(base, device="cpu")
        if kind == "adapter":
            model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
        return model.eval()

    before = made("whole" if first == "base" else first, tiny("llama", seed=1))
    before.save_pretrained(tmp_path, create_model_card=False)
    model = made(then, tmp_path if first == "base" else tiny("llama"))
    expected = model.encode("A man sings.")
    model.save_pretrained(tmp_path, create_model_card=False)
    for again in (PromptEOL(tmp_path, device="cpu"), SentenceTransformer(str(tmp_path), device="cpu"), model):
        assert np.allclose(again.encode("A man sings."), expected, atol=1e-5)


def test_an_adapter_that_is_turned_off_stays_off(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    model.disable_adapters()
    with pytest.warns(UserWarning, match="read back a model of other vectors"):
        model.save_pretrained(tmp_path, create_model_card=False)
    expected = PromptEOL(tiny("llama"), device="cpu").encode("A man sings.")
    got = SentenceTransformer(str(tmp_path), device="cpu").encode("A man sings.")
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("change", ["cut", "missing", "not json", "a value"])
def test_damaged_adapters(tiny, tmp_path, change):
    train_adapter(tiny("llama"), tmp_path, "llama")
    weights, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    if change == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif change == "missing":
        weights.unlink()
    elif change == "not json":
        config.write_text("[]")
    else:
        config.write_text(config.read_text().replace('"LORA"', '"NOTHING"'))
    with pytest.raises(ModelError) as raised:
        PromptEOL(tmp_path, device="cpu")
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert "another model" not in str(raised.value)
