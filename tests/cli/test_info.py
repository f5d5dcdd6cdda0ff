"""``info``: what a model is, from its configuration, its tokenizer and the headers of its weights."""

import json
import shutil

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL


@pytest.fixture(scope="module")
def model(base):
    return PromptEOL(base, device="cpu")


def test_info_tells_what_the_model_is(prompteol, model, base):
    result = prompteol("info", base, "--json", "--fingerprint")
    facts = json.loads(result.stdout)

    assert facts["model"] == base
    assert facts["backbone"] == "LlamaModel"
    assert facts["template"] == 'This sentence : "{text}" means in one word:"'
    assert (facts["layer"], facts["layers"], facts["dimension"]) == (-1, 4, 32)
    assert facts["length_limit"] == model.max_seq_length
    assert facts["fingerprint"] == model.fingerprint()


def told(prompteol, *arguments):
    result = prompteol("info", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def no_weights(monkeypatch):
    """Fail the test where a tensor is read from a file."""

    def refuse(*_, **__):
        raise AssertionError("weights were read")

    monkeypatch.setattr("transformers.modeling_utils.PreTrainedModel.from_pretrained", refuse)
    monkeypatch.setattr("sentence_transformers.base.modules.transformer.AutoModel.from_pretrained", refuse)


def test_info_of_a_base_reads_no_weights(prompteol, base, no_weights):
    facts = told(prompteol, base)
    assert (facts["backbone"], facts["dtype"], facts["layers"], facts["dimension"]) == ("LlamaModel", "float32", 4, 32)
    assert facts["length_limit"] == 512
    assert facts["fingerprint"] is None
    assert "--fingerprint" in prompteol("info", base).stdout


def test_info_without_weights_says_what_the_loaded_model_does(prompteol, tiny, tmp_path):
    saved = PromptEOL(tiny("opt"), template="promptreps", layer=-2, truncate_dim=8, device="cpu")
    saved.save_pretrained(tmp_path / "saved")
    causal = AutoModelForCausalLM.from_pretrained(tiny("gpt2"))
    get_peft_model(causal, LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True)).save_pretrained(
        tmp_path / "adapter"
    )
    half = AutoModelForCausalLM.from_pretrained(tiny("qwen2", tied=False), dtype="bfloat16")
    half.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(tiny("qwen2")).save_pretrained(tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1

    for name, dtype in (("saved", "float32"), ("adapter", "float32"), ("sharded", "bfloat16")):
        loaded = PromptEOL(str(tmp_path / name), device="cpu")
        weights = loaded.module.transformer.model.named_parameters()
        expected = {
            "backbone": type(loaded.module.transformer.model).__name__,
            "parameters": sum(part.numel() for key, part in weights if "lora_" not in key),
            "dtype": dtype,
            "layer": loaded.layer,
            "layers": 4,
            "dimension": loaded.get_embedding_dimension(),
            "length_limit": loaded.max_seq_length,
            "similarity": loaded.similarity_fn_name,
            "fingerprint": saved.fingerprint() if name == "saved" else None,
        }
        facts = told(prompteol, tmp_path / name)
        assert {key: facts[key] for key in expected} == expected
    assert told(prompteol, tmp_path / "saved", "--template", "prompt")["fingerprint"] is None


def test_info_of_a_file_without_a_whole_header(prompteol, base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "cut")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:20])
    result = prompteol("info", folder)
    assert result.exit_code == 2
    assert "the header of" in result.stderr


def test_info_shows_both_templates_of_a_retrieval_model_and_the_demonstrations(prompteol, base):
    result = prompteol("info", base, "-t", "promptreps", "-d", "opt-2.7b")

    assert result.exit_code == 0, result.output
    for shown in ("query template", "document template", "A jockey riding a horse. => Equestrian"):
        assert shown in result.stdout
