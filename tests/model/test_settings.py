"""Settings of a model: each takes effect rightly, or is refused in one line that names it."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoTokenizer

from prompteol import PromptEOL, PromptTemplate, TextEmbedder
from prompteol.errors import ModelError, PromptEOLError, SettingError, TemplateError
from prompteol.testing import tiny_tokenizer

LONG = "many words " * 800


@pytest.fixture
def model(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


@pytest.fixture
def no_weights(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("weights were read")

    monkeypatch.setattr("sentence_transformers.base.modules.transformer.AutoModel.from_pretrained", refuse)


@pytest.mark.parametrize("architecture", ["opt", "gpt2"])
def test_a_limit_beyond_the_position_table(tiny, architecture):
    model = PromptEOL(tiny(architecture), device="cpu")
    with pytest.raises(SettingError, match=r"max_seq_length=1000 is more than the 512 positions"):
        model.max_seq_length = 1000
    assert model.max_seq_length == 512
    with pytest.raises(SettingError, match=r"max_length=1000 is more than the 512 positions"):
        model.encode(LONG, processing_kwargs={"text": {"max_length": 1000}})
    with pytest.raises(SettingError, match=r"max_seq_length=1000 is more than the 512 positions"):
        PromptEOL(tiny(architecture), processor_kwargs={"model_max_length": 1000}, device="cpu")
    assert np.isfinite(model.encode(LONG)).all()


def test_rotary_positions_have_no_end(model):
    model.max_seq_length = 1000
    assert model.preprocess([LONG])["input_ids"].shape == (1, 1000)
    assert np.isfinite(model.encode(LONG)).all()


@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_no_limit_is_what_the_backbone_was_made_for(tiny, architecture, tmp_path):
    model = PromptEOL(tiny(architecture), device="cpu")
    expected = model.encode(LONG)
    model.max_seq_length = 100
    model.max_seq_length = None
    assert model.max_seq_length == 512
    assert np.allclose(model.encode(LONG), expected, atol=1e-5)
    model.save_pretrained(tmp_path / "saved")
    assert np.allclose(PromptEOL(tmp_path / "saved", device="cpu").encode(LONG), expected, atol=1e-5)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "64", True])
def test_a_limit_that_is_no_number_of_tokens(model, limit):
    with pytest.raises(SettingError, match=r"max_seq_length=.* is no number of tokens"):
        model.max_seq_length = limit


@pytest.mark.parametrize("dimension", [0, -1, 33, 1.5, "8", True])
def test_a_dimension_that_there_is_not(tiny, model, dimension):
    with pytest.raises(SettingError, match="truncate_dim="):
        model.encode("a", truncate_dim=dimension)
    with pytest.raises(SettingError, match="truncate_dim="):
        model.truncate_dim = dimension
    with pytest.raises(SettingError, match="truncate_dim="), model.truncate_embeddings(dimension):
        pass
    with pytest.raises(SettingError, match="truncate_dim="):
        PromptEOL(tiny("llama"), truncate_dim=dimension, device="cpu")
    assert model.encode("a").shape == (32,)


def test_a_dimension_that_there_is(tiny, model):
    with model.truncate_embeddings(32):
        assert model.encode("a").shape == (32,)
    model.truncate_dim = 8
    assert model.encode("a").shape == (model.get_embedding_dimension(),) == (8,)
    assert model.encode("a", truncate_dim=16).shape == (16,)
    assert PromptEOL(tiny("llama"), truncate_dim=8, device="cpu").encode("a").shape == (8,)


def test_another_tokenizer(tiny, model, tmp_path):
    expected = model.encode(["A man sings.", LONG])
    model.max_seq_length = 100
    model.tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    assert (model.max_seq_length, model.tokenizer.padding_side) == (100, "right")
    assert np.allclose(model.encode("A man sings."), expected[0], atol=1e-5)
    model.tokenizer.add_tokens(["zyzzyva"])
    with pytest.raises(SettingError, match=r"440 tokens, and the backbone embeddings of 439"):
        model.tokenizer = model.tokenizer
    with pytest.raises(SettingError, match="tokenizer=None is NoneType"):
        model.tokenizer = None
    model.tokenizer = tiny_tokenizer("llama", vocab_size=400)
    model.save_pretrained(tmp_path / "saved")
    again = PromptEOL(tmp_path / "saved", device="cpu")
    assert np.allclose(again.encode("A man sings."), model.encode("A man sings."), atol=1e-5)


@pytest.mark.parametrize("prompt", ["pretended-cot", 'In short, "{text}" means in one word:"'])
def test_a_prompt_by_its_name_or_wording(tiny, model, prompt):
    asked = PromptEOL(tiny("llama"), template=prompt, device="cpu")
    expected = asked.encode("A man sings.")
    model.set_template(prompt)
    assert np.allclose(model.encode("A man sings."), expected, atol=1e-5)
    assert model.provenance == asked.provenance
    model.set_template("prompteol")
    model.template = prompt
    assert model.template == asked.template
    with pytest.raises(TemplateError, match="no preset"):
        model.template = "nonsense"
    with pytest.raises(TemplateError, match="is list"):
        model.template = ["pretended-cot"]
    assert np.allclose(model.encode("A man sings."), expected, atol=1e-5)


def test_parts_of_a_prompt(tiny, model):
    asked = PromptEOL(tiny("llama"), demonstrations="opt-2.7b", normalization="plain", layer=-2, device="cpu")
    assert asked.template.normalization == "plain"
    model.set_template(demonstrations="opt-2.7b")
    model.set_template(normalization="plain")
    model.layer = -2
    assert (model.template, model.layer) == (asked.template, -2)
    assert np.allclose(model.encode("Why?"), asked.encode("Why?"), atol=1e-5)
    with pytest.raises(TemplateError, match="normalization='fancy' is none of"):
        PromptEOL(tiny("llama"), normalization="fancy")


def test_the_normalization_of_a_saved_models_own_template(tiny, tmp_path):
    PromptEOL(tiny("llama"), template="promptreps", demonstrations="opt-2.7b").save_pretrained(tmp_path / "saved")
    loaded = PromptEOL(tmp_path / "saved", normalization="none", device="cpu")
    assert (loaded.template.query.normalization, loaded.template.document.normalization) == ("none", "none")
    assert len(loaded.template.query.demonstrations) == 1


def test_what_a_model_shows_of_itself(tiny):
    model = PromptEOL(tiny("gpt2"), template=PromptTemplate("A ", " is"), layer=-2, device="cpu")
    for shown in ("GPT2Model", "A {text} is", "layer=-2", "dimension=32"):
        assert shown in repr(model)


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "tpu"}, "device='tpu' cannot be used here, where there is cpu"),
        ({"device": "cuda:99"}, "device='cuda:99' cannot be used here"),
        ({"model_kwargs": {"device_map": "cuda:99"}}, "device_map='cuda:99' cannot be used here"),
        ({"model_kwargs": {"device_map": {"": "tpu"}}}, "device_map='tpu' cannot be used here"),
        ({"model_kwargs": {"dtype": "float17"}}, "dtype='float17' is no dtype"),
        ({"model_kwargs": {"torch_dtype": "float17"}}, "torch_dtype='float17' is no dtype"),
        ({"model_kwargs": {"dtype": torch.int8}}, "dtype=torch.int8 is no dtype"),
        ({"config_kwargs": {"dtype": "float17"}}, "dtype='float17' is no dtype"),
    ],
)
def test_a_device_or_dtype_that_does_not_exist(tiny, options, said):
    with pytest.raises(ModelError, match=said) as refused:
        PromptEOL(tiny("llama"), **{"device": "cpu", **options})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("key", "value"), [("attn_implementation", "nope"), ("no_such_option", 1)])
def test_an_argument_that_the_model_does_not_take(tiny, key, value):
    with pytest.raises(ModelError, match=f"cannot be loaded with {key}={value!r}") as refused:
        PromptEOL(tiny("llama"), device="cpu", model_kwargs={key: value})
    assert "\n" not in str(refused.value)


def test_a_device_of_one_call(model):
    for device in ("tpu", ["cpu", "cuda:99"]):
        with pytest.raises(PromptEOLError, match="cannot be used here"):
            model.encode("a", device=device)


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompts": ["a"]}, r"prompts=\['a'\]: give strings by name"),
        ({"prompts": {"query": 3}}, r"prompts\['query'\]=3 is int, not a string"),
        ({"processor_kwargs": {"model_max_length": "x"}}, "model_max_length='x', which is no number of tokens"),
        ({"processor_kwargs": {"model_max_length": -4}}, "model_max_length=-4, which is no number of tokens"),
    ],
)
def test_prompts_and_limits_are_checked_before_weights(tiny, options, said):
    with pytest.raises(PromptEOLError, match=said):
        PromptEOL(tiny("llama"), device="cpu", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt_name": "x"}, "no prompt is named 'x', only 'query', 'document'"),
        ({"prompt_name": ["x"]}, "no prompt is named"),
        ({"prompt": 3}, "prompt=3 is int, not a string"),
        *(({"batch_size": size}, f"batch_size={size!r} is no number of texts") for size in (0, -1, 1.5, "3", True)),
    ],
)
def test_arguments_of_one_call(model, options, said):
    for encode in (model.encode, model.encode_query, model.encode_document):
        with pytest.raises(SettingError, match=said):
            encode(["a", "b"], **options)
    if "batch_size" in options:
        with pytest.raises(SettingError, match=said):
            TextEmbedder(model, **options)


def test_prompts_that_are_edited_later(tiny, model):
    with pytest.raises(SettingError, match="no prompt is named 'x', only 'query', 'document', 'own'"):
        PromptEOL(tiny("llama"), prompts={"own": "My "}, default_prompt_name="x", device="cpu")
    model.default_prompt_name = "x"
    with pytest.raises(SettingError, match="no prompt is named 'x'"):
        model.encode("a")
    model.default_prompt_name, model.prompts["query"] = None, 3
    with pytest.raises(SettingError, match=r"prompts\['query'\]=3"):
        model.encode_query("a")


def test_a_second_pooling_is_refused_until_it_is_taken_out(model):
    expected = model.encode("a")
    model.append(Pooling(32, "mean"))
    with pytest.raises(ModelError, match=r"module 1 is a Pooling.*del model\[1\]"):
        model.encode("a")
    del model[1]
    assert (model.encode("a") == expected).all()
