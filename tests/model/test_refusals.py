"""What cannot work is refused with a typed error that names the value and the fix, before weights are read."""

import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoConfig,
    BertConfig,
    BertModel,
    GemmaConfig,
    LlamaConfig,
    T5Config,
    XLMConfig,
    XLNetConfig,
)

from prompteol import PromptEOL, PromptTemplate
from prompteol.errors import (
    ArtifactError,
    InputError,
    LayerError,
    ModelError,
    ModelNotFoundError,
    NonFiniteError,
    TemplateError,
)


@pytest.fixture
def no_weights(monkeypatch):
    """Fail the test if any model is built."""

    def refuse(*_, **__):
        raise AssertionError("weights were read")

    monkeypatch.setattr("sentence_transformers.base.modules.transformer.AutoModel.from_pretrained", refuse)


@pytest.mark.usefixtures("no_weights")
class TestBeforeAnyWeight:
    @pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere", "~/nowhere-at-all", "a/b/c"])
    def test_no_such_folder(self, path):
        with pytest.raises(ModelNotFoundError, match=r"no such folder.*nowhere|a/b/c"):
            PromptEOL(path)

    def test_no_such_name(self):
        with pytest.raises(ModelNotFoundError, match=r"nobody/nothing"):
            PromptEOL("nobody/nothing")

    def test_a_file(self, tmp_path):
        file = tmp_path / "model.safetensors"
        file.touch()
        with pytest.raises(ModelNotFoundError, match=r"is a file"):
            PromptEOL(file)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(ModelNotFoundError, match=r"config.json"):
            PromptEOL(tmp_path)

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            (BertConfig(architectures=["BertForMaskedLM"]), "encoder"),
            (BertConfig(architectures=["BertModel"]), "encoder"),
            (BertConfig(architectures=["BertLMHeadModel"]), "encoder"),
            (XLMConfig(architectures=["XLMWithLMHeadModel"]), "encoder"),
            (XLNetConfig(architectures=["XLNetLMHeadModel"]), "both directions"),
            (T5Config(architectures=["T5ForConditionalGeneration"]), "encoder-decoder"),
            (LlamaConfig(architectures=["LlamaForSequenceClassification"]), "LlamaForSequenceClassification"),
            (LlamaConfig(architectures=["LlamaModel"], is_causal=False), "both directions"),
        ],
    )
    def test_not_a_causal_language_model(self, tmp_path, config, said):
        config.save_pretrained(tmp_path)
        with pytest.raises(ModelError, match=rf"no causal language model.*{said}"):
            PromptEOL(tmp_path)

    @pytest.mark.parametrize("template", ["no slot here", "{text} twice {text} means", "unknown-preset", 5])
    def test_a_template_that_cannot_be_used(self, tiny, template):
        with pytest.raises(TemplateError):
            PromptEOL(tiny("llama"), template=template)

    def test_a_demonstration_without_a_word(self, tiny):
        with pytest.raises(TemplateError, match=r"exactly one word"):
            PromptEOL(tiny("llama"), demonstrations=[("A horse.", "")])

    @pytest.mark.parametrize("layer", [0, 1, 4, -5, 0.0, 1.5, -0.5, True, "last", float("nan")])
    def test_a_layer_out_of_range(self, tiny, layer):
        with pytest.raises(LayerError, match=r"outside this backbone of 4 layers"):
            PromptEOL(tiny("llama"), layer=layer)

    def test_bos_where_the_tokenizer_has_none(self, tiny):
        template = PromptTemplate('This sentence : "', '" means in one word:"', bos=True)
        with pytest.raises(TemplateError, match=r"no BOS token"):
            PromptEOL(tiny("qwen2"), template=template)


def test_an_unknown_engine(tiny):
    with pytest.raises(ModelError, match=r"engine='fast' is none of 'auto', 'stock'"):
        PromptEOL(tiny("llama"), engine="fast")


def test_a_positive_layer_is_translated(tiny):
    with pytest.raises(LayerError, match=r"hidden_states\[3\] is layer=-2"):
        PromptEOL(tiny("llama"), layer=3)


def test_bos_can_be_asked_for_and_left_out(tiny):
    words = ('This sentence : "', '" means in one word:"')
    asked = PromptEOL(tiny("gpt2"), template=PromptTemplate(*words, bos=True))
    assert asked.preprocess(["a"])["input_ids"][0, 0] == asked.tokenizer.bos_token_id
    without = PromptEOL(tiny("llama"), template=PromptTemplate(*words, bos=False))
    assert without.preprocess(["a"])["input_ids"][0, 0] != without.tokenizer.bos_token_id


def test_a_suffix_that_fuses_with_the_text(tiny):
    with pytest.raises(TemplateError, match=r"fuses with the text"):
        PromptEOL(tiny("llama"), template=PromptTemplate('This sentence : "', '"', "none"))


@pytest.mark.parametrize("wrong", [None, 5, b"bytes", ["nested"], {"role": "user", "content": "x"}])
def test_a_non_string_is_named_with_its_index(tiny, wrong):
    model = PromptEOL(tiny("llama"), device="cpu")
    with pytest.raises(InputError, match=rf"text 2 is {type(wrong).__name__}"):
        model.encode(["a much longer text that is sorted first", "b", wrong])
    if not isinstance(wrong, list):
        with pytest.raises(InputError, match=r"text 0"):
            model.encode(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_named_with_its_index(tiny, value):
    model = PromptEOL(tiny("llama"), device="cpu")
    token = model.tokenizer(" guitar", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        model.transformers_model.get_input_embeddings().weight[token] = value
    assert np.isfinite(model.encode(["no music", "here"])).all()
    for options in ({}, {"convert_to_tensor": True}, {"convert_to_numpy": False}, {"precision": "int8"}):
        with pytest.raises(NonFiniteError, match=r"text 1 .*guitar"):
            model.encode(["a long text without any of it", "a guitar", "short"], **options)


def test_a_sentence_transformers_model_that_is_no_artifact(tiny, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(tiny("llama"))
    SentenceTransformer(modules=[transformer, Pooling(32, "mean")]).save_pretrained(str(tmp_path))
    with pytest.raises(ModelError, match=r"no PromptEOL artifact.*template="):
        PromptEOL(tmp_path)
    wrapped = PromptEOL(tmp_path, template="prompteol", device="cpu")
    assert np.allclose(wrapped.encode("hi"), PromptEOL(tiny("llama"), device="cpu").encode("hi"), atol=1e-6)


def test_the_layer_that_a_stock_model_reads_is_kept(tiny, tmp_path):
    from sentence_transformers import SentenceTransformer

    PromptEOL(tiny("llama"), layer=-2, device="cpu").save_pretrained(tmp_path / "ours")
    SentenceTransformer(str(tmp_path / "ours"), device="cpu").save_pretrained(str(tmp_path / "stock"))
    assert PromptEOL(tmp_path / "stock", template="prompteol", device="cpu").layer == -2
    manifest = tmp_path / "ours" / "prompteol.json"
    manifest.write_text(manifest.read_text().replace('"layer": -2', '"layer": -1'))
    with pytest.raises(ArtifactError, match=r"prompteol\.json says layer -1, and .* reads layer -2"):
        PromptEOL(tmp_path / "ours", device="cpu")
    assert PromptEOL(tmp_path / "ours", layer=-2, device="cpu").layer == -2


def test_an_encoder_saved_by_sentence_transformers(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    from prompteol.testing import tiny_tokenizer

    bert = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=640)
    BertModel(bert).save_pretrained(tmp_path / "bert")
    tiny_tokenizer("llama").save_pretrained(tmp_path / "bert")
    modules = [Transformer(str(tmp_path / "bert")), Pooling(16, "mean")]
    SentenceTransformer(modules=modules).save_pretrained(str(tmp_path / "st"))
    with pytest.raises(ModelError, match=r"encoder"):
        PromptEOL(tmp_path / "st", template="prompteol")


def test_errors_are_one_tree():
    import prompteol.errors as errors

    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, errors.PromptEOLError)
        assert not issubclass(kind, (TypeError, AttributeError))
        assert name in errors.__doc__


def test_a_refused_prompt_leaves_the_model_as_it_was(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    before = model.encode("A man sings")
    with pytest.raises(TemplateError, match="fuses with the text"):
        model.set_template(PromptTemplate('x "', '"', "none"))
    model.save_pretrained(tmp_path / "saved")
    assert np.allclose(
        SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode("A man sings"), before, atol=1e-5
    )


def test_a_bos_that_is_read_as_characters(tiny):
    with pytest.raises(TemplateError, match="reads '<s>' as plain characters"):
        PromptEOL(tiny("llama"), processor_kwargs={"split_special_tokens": True}, device="cpu")


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("architecture", ["opt", "gpt2", "llama", "gemma"])
def test_a_folder_without_a_tokenizer(tiny, tmp_path, architecture):
    """Where its files are missing transformers makes one up, and every text may have the same tokens."""
    if architecture == "gemma":
        GemmaConfig(architectures=["GemmaForCausalLM"]).save_pretrained(tmp_path)
    else:
        AutoConfig.from_pretrained(tiny(architecture)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"tokenizer .*(files seem to be missing|cannot be read)"):
        PromptEOL(tmp_path, device="cpu")


def test_a_device_may_be_an_object(tiny):
    model = PromptEOL(tiny("llama"), device=torch.device("cpu"))
    assert (model.device.type, model.transformers_model.dtype) == ("cpu", torch.float32)


def test_a_folder_without_weights(tiny, tmp_path):
    folder = shutil.copytree(tiny("llama"), tmp_path / "base")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"'.*base' cannot be read, so a file of it is damaged or missing"):
        PromptEOL(folder, device="cpu")
