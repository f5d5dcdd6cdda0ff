"""Token Prepending: against hooks on a plain transformers model, packed and not, with demonstrations, saved, loaded."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from prompteol import PromptEOL
from prompteol.errors import LayerError, ModelError, SettingError, TemplateError
from prompteol.techniques import TokenPrepending

SHOWN = 'This sentence : "A jockey riding a horse." means in one word:"Equestrian".'
LAYERS = {"llama": "layers", "qwen2": "layers", "opt": "decoder.layers", "gpt2": "h"}


@torch.inference_mode()
def by_hooks(folder, architecture, texts, layer, head=""):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    vectors = []
    for text in texts:
        before = tokenizer(f"{head}This sentence :")["input_ids"]
        whole = tokenizer(f'{head}This sentence : "{text}." means in one word:"')["input_ids"]
        assert whole[: len(before)] == before
        ids = torch.tensor([[*before, pad, *whole[len(before) :]]])

        def prepend(module, arguments, before=before):
            states = arguments[0].clone()
            states[:, len(before)] = states[:, -1]
            return states, *arguments[1:]

        layers = model.get_submodule(LAYERS[architecture])
        hooks = [layers[index].register_forward_pre_hook(prepend) for index in (1, 2)]
        vectors.append(model(input_ids=ids, output_hidden_states=True).hidden_states[layer][0, -1].numpy())
        for hook in hooks:
            hook.remove()
    return np.stack(vectors)


@pytest.mark.parametrize("layer", [-1, -2])
@pytest.mark.parametrize("demonstrations", [None, "opt-2.7b"])
def test_hooks_on_a_plain_model_give_the_same(tiny, architecture, demonstrations, layer, texts, close):
    folder, texts = tiny(architecture), [*texts[:5], "(a dog)", "what"]
    expected = by_hooks(folder, architecture, texts, layer, SHOWN if demonstrations else "")
    options = {"demonstrations": demonstrations, "layer": layer, "device": "cpu"}
    model = PromptEOL(folder, technique="token-prepending:start=1,stop=3", **options)
    assert close(model.encode(texts), expected)
    assert close(model.encode(texts, engine="stock"), expected)
    assert close(np.stack([model.encode(text) for text in texts]), expected)
    counters = model.module._shared_prefix_engine().counters
    assert counters.stock_tokens == 0
    assert counters.prefix_tokens > 0
    plain = PromptEOL(folder, **options).encode(texts)
    assert not close(plain, expected)
    # Nothing of it is left on the backbone.
    assert np.array_equal(PromptEOL(folder, **options).encode(texts), plain)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_saved_and_loaded(tiny, tmp_path, texts, close):
    model = PromptEOL(tiny("opt"), technique=TokenPrepending(stop=0.6), demonstrations="opt-2.7b", device="cpu")
    model.save_pretrained(tmp_path)
    again = PromptEOL(tmp_path, device="cpu")
    assert again.technique == model.technique
    assert close(again.encode(texts), model.encode(texts))
    assert not close(again.encode(texts), PromptEOL(tmp_path, technique=(), device="cpu").encode(texts))
    assert "token-prepending:start=1,stop=0.6" in (tmp_path / "README.md").read_text()


def test_a_long_text_is_cut_one_token_earlier(tiny, close):
    model = PromptEOL(tiny("opt"), technique="token-prepending:stop=2", device="cpu")
    long = "dog " * 2000
    rows, _ = model.module.preprocess([long], engine="auto")["token_rows"][0]
    assert len(rows.rows[0]) == model.max_seq_length
    assert np.isfinite(model.encode(long)).all()


@pytest.mark.parametrize(
    ("technique", "error", "match"),
    [
        ("token-prepending:stop=5", LayerError, "the backbone has 4 layers"),
        ("token-prepending:stop=1", SettingError, "not above start"),
        ("token-prepending:stop=1.5", SettingError, "are no layers"),
        ("token-prepending:start=-1", SettingError, "are no layers"),
    ],
)
def test_layers_that_are_not_there(tiny, technique, error, match):
    with pytest.raises(error, match=match):
        PromptEOL(tiny("llama"), technique=technique, device="cpu")


def test_templates_and_architectures_that_do_not_fit(tiny, monkeypatch):
    with pytest.raises(TemplateError, match="the quote that opens the text"):
        PromptEOL(tiny("llama"), template="{text} means in one word:", technique="token-prepending", device="cpu")
    with pytest.raises(SettingError, match="cannot be trained"):
        PromptEOL(tiny("llama"), technique="token-prepending", device="cpu").preprocess(["a dog"])
    monkeypatch.setattr("prompteol.inference.reference_forward.nn.ModuleList", nn.ParameterList)
    with pytest.raises(ModelError, match="does not fit LlamaModel: LlamaModel holds no list of 4 layers"):
        PromptEOL(tiny("llama"), technique="token-prepending", device="cpu")
