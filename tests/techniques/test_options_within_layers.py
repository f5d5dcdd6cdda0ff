"""Techniques that look within layers: saving, combining, experts, gradients, and what is refused."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, BloomConfig, MixtralConfig, OlmoeConfig, Qwen3MoeConfig

from plain_hooks import Plain
from prompteol import PromptEOL, fit_readout
from prompteol.errors import LayerError, ModelError, SettingError, TemplateError
from prompteol.testing import tiny_tokenizer

NAMES = ["token-prepending", "contrastive-prompting", "echo", "aligned-wva", "kv-embedding"]
SIZE = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "initializer_range": 0.15}
EXPERTS = {**SIZE, "intermediate_size": 64, "num_key_value_heads": 2, "num_experts_per_tok": 2}
MIXTURES = {
    "mixtral": MixtralConfig(**EXPERTS, num_local_experts=4),
    "olmoe": OlmoeConfig(**EXPERTS, num_experts=8),
    "qwen3-moe": Qwen3MoeConfig(**EXPERTS, num_experts=4, moe_intermediate_size=32, mlp_only_layers=[1], head_dim=8),
}


def write(config, folder):
    tokenizer = tiny_tokenizer("llama")
    config.vocab_size = len(tokenizer)
    config.pad_token_id = None
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("technique", NAMES)
def test_saved_and_loaded_with_a_read_out_behind_it(tiny, tmp_path, technique, texts, close):
    model = PromptEOL(tiny("opt"), technique=technique, demonstrations="opt-2.7b", layer=-2, device="cpu")
    fit_readout(model, texts, "centering")
    expected = model.encode(texts)
    model.save_pretrained(tmp_path)
    again = PromptEOL(tmp_path, device="cpu")
    assert again.technique == model.technique
    assert again.fingerprint() == model.fingerprint()
    assert close(again.encode(texts), expected)
    assert technique in (tmp_path / "README.md").read_text()
    kinds = [part["type"].split(".")[-1] for part in json.loads((tmp_path / "modules.json").read_text())]
    assert kinds == ["TechniqueModule", "Dense"]
    trusted = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    assert close(trusted.encode(texts), expected)


@pytest.mark.parametrize("technique", NAMES)
def test_gradients_reach_the_weights(tiny, technique, texts, close):
    model = PromptEOL(tiny("llama"), technique=technique, device="cpu")
    vectors = model(model.preprocess(texts[:3]))["sentence_embedding"]
    assert close(vectors.detach().numpy(), model.encode(texts[:3]))
    vectors.sum().backward()
    assert model.module.transformer.model.layers[1].self_attn.q_proj.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize(("demonstrations", "layer"), [(None, -1), ("opt-2.7b", -2)])
def test_moee_is_the_state_and_the_router_weights(tmp_path, mixture, layer, demonstrations, texts, close):
    folder, texts = write(MIXTURES[mixture], tmp_path / "model"), texts[:9]
    plain = Plain(folder, "llama")
    routers = [one.mlp.gate for one in plain.layers[: 5 + layer] if hasattr(one.mlp, "gate")]
    head = 'This sentence : "A jockey riding a horse." means in one word:"Equestrian".' if demonstrations else ""
    expected = []
    for text in texts:
        with plain.seeing(routers) as seen, torch.inference_mode():
            state = plain.states(plain.ids(f'{head}This sentence : "{text}." means in one word:"'), layer)[-1]
        routes = torch.cat([output[0][-1].softmax(-1) for output in seen])
        expected.append(torch.cat([state / state.norm(), routes / routes.norm() * 0.5**0.5]))
    expected = torch.stack(expected).numpy()
    options = {"demonstrations": demonstrations, "layer": layer, "device": "cpu"}
    model = PromptEOL(folder, technique="moee:weight=0.5", **options)
    assert close(model.encode(texts), expected)
    assert close(model.encode(texts, engine="stock"), expected)
    assert close(np.stack([model.encode(text) for text in texts]), expected)
    assert model.module._shared_prefix_engine().counters.stock_tokens == 0
    model.save_pretrained(tmp_path / "saved")
    assert close(PromptEOL(tmp_path / "saved", device="cpu").encode(texts), expected)


@pytest.mark.parametrize("technique", ["token-prepending:stop=3", "contrastive-prompting:layer=1"])
def test_wordings_are_averaged(tiny, technique, texts, close):
    folder = tiny("llama")
    names = ("prompteol", "pretended-cot")
    both = PromptEOL(folder, technique=f"{technique},wordings={'+'.join(names)}", device="cpu")
    each = [PromptEOL(folder, template=name, technique=technique, device="cpu") for name in names]
    assert close(both.encode(texts), np.mean([one.encode(texts) for one in each], 0))
    assert len(PromptEOL(folder, technique=f"{technique},wordings=metaeol", device="cpu").technique.wordings) == 8


@pytest.mark.parametrize("technique", NAMES)
def test_a_long_text_is_cut(tiny, technique, close):
    model = PromptEOL(tiny("opt"), technique=technique, device="cpu")
    long = "dog " * 2000
    rows = model.module.preprocess([long], engine="auto")["token_rows"]
    assert max(len(row) for one in rows for row in one.rows) <= model.max_seq_length
    both = model.encode([long, "a dog"])
    assert np.isfinite(both).all()
    assert close(both[1], model.encode("a dog"))


@pytest.mark.parametrize(
    ("technique", "error", "match"),
    [
        ("token-prepending:stop=5", LayerError, "the backbone has 4 layers"),
        ("token-prepending:stop=1", SettingError, "not above start"),
        ("token-prepending:stop=1.5", SettingError, "is no layer"),
        ("token-prepending:start=-1", SettingError, "is no layer"),
        ("token-prepending:wordings=promptreps", SettingError, "pair of templates"),
        ("contrastive-prompting:layer=4", LayerError, "the backbone has 4 layers"),
        ("contrastive-prompting:strength=0", SettingError, "no positive number"),
        ("contrastive-prompting:form=NX", SettingError, "neither NS nor NR"),
        ("aligned-wva:start=4", LayerError, "the backbone has 4 layers: give 3 or less"),
        ("kv-embedding:start=0.9,stop=0.8", SettingError, "not above start"),
        ("kv-embedding:bias=much", SettingError, "no bias"),
        ("moee:weight=0", SettingError, "no positive number"),
        ("moee", ModelError, "does not fit LlamaModel: it has no experts"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tiny, technique, error, match):
    with pytest.raises(error, match=match) as caught:
        PromptEOL(tiny("llama"), technique=technique, device="cpu")
    assert "\n" not in str(caught.value)


def test_templates_and_architectures_that_do_not_fit(tiny, tmp_path, texts, close):
    with pytest.raises(TemplateError, match="the quote that opens the text"):
        PromptEOL(tiny("llama"), template="{text} means in one word:", technique="token-prepending", device="cpu")
    bloom = write(BloomConfig(hidden_size=32, n_layer=4, n_head=4), tmp_path)
    for technique in ("contrastive-prompting", "kv-embedding"):
        with pytest.raises(ModelError, match="BloomModel: it computes attention without transformers' interface"):
            PromptEOL(bloom, technique=technique, device="cpu")
    for technique in ("token-prepending", "echo"):
        model = PromptEOL(bloom, technique=technique, device="cpu")
        with pytest.warns(RuntimeWarning, match="the reference forward is used instead"):
            vectors = model.encode(texts[:5])
        assert close(vectors[0], model.encode(texts[0]))
