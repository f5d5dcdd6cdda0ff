"""An accelerated embedder gives the vectors it gave before, packed, and where it cannot it says why."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer

import prompteol
from acceleration.conftest import INSTRUCTION, TEXTS, assert_same, build_embedder, engines, packed_tokens
from small_models import stock_model


def both(model, *args, **kwargs):
    stock = model.encode(*args, **kwargs)
    prompteol.accelerate(model)
    return model.encode(*args, **kwargs), stock


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["lasttoken", "mean", "weightedmean"])
@pytest.mark.parametrize("name", ["qwen3", "mistral", "llama", "gemma2"])
def test_causal_backbones(name, mode, side, no_warning):
    model = build_embedder(name, mode=mode, side=side, after=[Normalize()])
    ours, stock = both(model, TEXTS)
    assert_same(ours, stock)
    assert_same(model.encode_query(TEXTS), prompteol.restore(model).encode_query(TEXTS))


def test_an_instruction_is_computed_once(embedder):
    prompteol.accelerate(embedder).encode_query(TEXTS)
    tokenizer = embedder.tokenizer
    counters = engines(embedder)[0].counters
    instruction = len(tokenizer(INSTRUCTION, add_special_tokens=False)["input_ids"])
    distinct = {tuple(ids) for ids in tokenizer([INSTRUCTION + text for text in TEXTS])["input_ids"]}
    assert instruction - 2 <= counters.prefix_tokens
    assert counters.text_tokens < sum(map(len, distinct)) - (len(distinct) - 1) * (instruction - 2)


def test_each_prompt_of_a_call_is_shared_by_its_own_texts(embedder):
    other = "Instruct: Retrieve a text in which somebody says quite the opposite of this one, in fewer words\nQuery: "
    texts = [prompt + text for prompt in (INSTRUCTION, other) for text in TEXTS]
    ours, stock = both(embedder, texts)
    assert_same(ours, stock)
    assert packed_tokens(embedder) < sum(map(len, embedder.tokenizer(texts)["input_ids"])) / 2


@pytest.mark.parametrize("mode", ["mean", "weightedmean"])
def test_a_prompt_left_out_of_the_mean(mode, no_warning):
    model = build_embedder(mode=mode, include_prompt=False)
    ours, stock = both(model, TEXTS, prompt_name="query")
    assert_same(ours, stock)
    assert packed_tokens(model)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bert", {}),
        ("xlm-roberta", {}),
        ("qwen3", {"is_causal": False}),
        ("gemma3_text", {"use_bidirectional_attention": True}),
    ],
)
@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_bidirectional_backbones_are_packed_without_a_prefix(name, settings, mode, no_warning):
    model = build_embedder(name, mode=mode, side="right", **settings)
    ours, stock = both(model, TEXTS, prompt=INSTRUCTION)
    assert_same(ours, stock)
    (engine,) = engines(model)
    assert engine.counters.text_tokens
    assert not engine.counters.prefix_tokens


def test_a_chat_template_and_an_inner_layer(no_warning):
    model = stock_model()
    output = {"method": "forward", "method_output_name": ["hidden_states", -2]}
    model[0].modality_config = {"text": output, "message": {**output, "format": "flat"}}
    ours, stock = both(model, TEXTS)
    assert_same(ours, stock)
    assert packed_tokens(model)


def test_modules_behind_the_pooling(no_warning):
    model = build_embedder(after=[Dense(32, 16), Normalize()])
    ours, stock = both(model, TEXTS, truncate_dim=8, normalize_embeddings=True)
    assert ours.shape == (len(TEXTS), 8)
    assert_same(ours, stock)


def test_long_texts_are_cut_as_before(embedder):
    embedder.max_seq_length = 12
    ours, stock = both(embedder, [*TEXTS, "word " * 500])
    assert_same(ours, stock)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(embedder, dtype, no_warning):
    embedder.to(dtype)
    stock = embedder.encode(TEXTS, convert_to_tensor=True).float()
    ours = prompteol.accelerate(embedder).encode(TEXTS, convert_to_tensor=True).float()
    assert torch.nn.functional.cosine_similarity(ours, stock).min() > (0.999 if dtype == torch.bfloat16 else 1 - 1e-6)
    assert packed_tokens(embedder)


def test_positions_that_depend_on_the_batch_run_as_before():
    model = build_embedder("gpt2", side="left", eos=False)
    texts = [text for text in TEXTS if text] * 5  # GPT-2 refuses a batch of no token
    stock = model.encode(texts, batch_size=8)
    prompteol.accelerate(model)
    with pytest.warns(RuntimeWarning, match="not accelerated: sentence-transformers runs GPT2Model"):
        ours = model.encode(texts, batch_size=8)
    np.testing.assert_array_equal(ours, stock)
    spent = packed_tokens(model)
    np.testing.assert_array_equal(model.encode(texts, batch_size=8), stock)
    assert packed_tokens(model) == spent


def test_attention_without_the_interface_runs_as_before():
    model = build_embedder("bloom")
    stock = model.encode(TEXTS * 5, batch_size=8)
    with pytest.warns(RuntimeWarning, match="BloomModel cannot be run"):
        ours = prompteol.accelerate(model).encode(TEXTS * 5, batch_size=8)
    np.testing.assert_array_equal(ours, stock)


def test_edits_are_seen(embedder):
    before = prompteol.accelerate(embedder).encode(TEXTS)
    with torch.no_grad():
        embedder[0].model.embed_tokens.weight.mul_(1.5)
        embedder[0].model.layers[0].mlp.up_proj.weight.mul_(2)
    after = embedder.encode(TEXTS)
    assert np.abs(after - before).max() > 1e-2
    assert_same(after, prompteol.restore(embedder).encode(TEXTS))


def test_hooks_get_the_batches_they_were_written_for(embedder):
    prompteol.accelerate(embedder).encode(TEXTS)
    seen = []
    hook = embedder[0].register_forward_hook(lambda module, inputs, output: seen.append(output["token_embeddings"]))
    embedder.encode(TEXTS)
    hook.remove()
    assert seen[0].shape[1] > 1


def test_other_attention_kernels():
    model = prompteol.accelerate(build_embedder(), attention="varlen")
    with pytest.warns(RuntimeWarning, match="varlen"):
        model.encode(TEXTS)


def test_refusals(embedder):
    for wrong, message in [
        (object(), "takes a SentenceTransformer or CrossEncoder, not object"),
        (prompteol.PromptEOL(), "PromptEOL runs the packed forward by itself"),
        (build_embedder(mode="max"), "pooling is 'max'"),
        (SentenceTransformer(modules=[embedder[0]], device="cpu"), "no module but the Transformer"),
        (SentenceTransformer(modules=[embedder[0], Normalize()], device="cpu"), "second module is Normalize"),
    ]:
        with pytest.raises((prompteol.errors.ModelError, prompteol.errors.SettingError), match=message):
            prompteol.accelerate(wrong)
    with pytest.raises(prompteol.errors.SettingError, match="attention 'nothing'"):
        prompteol.accelerate(embedder, attention="nothing")
    embedder[0].backend = "onnx"
    with pytest.raises(prompteol.errors.ModelError, match="backend is 'onnx'"):
        prompteol.accelerate(embedder)
    assert type(embedder[0]).forward is Transformer.forward
    assert "forward" not in vars(embedder[0])
