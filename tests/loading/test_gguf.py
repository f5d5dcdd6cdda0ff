"""A GGUF file gives the vectors of the weights in it, and is saved as a plain model."""

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from prompteol import PromptEOL, model_info
from prompteol.cli.app import app
from prompteol.errors import ModelError, ModelNotFoundError
from prompteol.testing import tiny_model

gguf = pytest.importorskip("gguf")
from gguf_files import write_gguf  # noqa: E402

TEXTS = ["A man is playing a guitar.", "Two dogs run in the snow.", "Who is the president?"]
ABOUT = {"name": "Tiny", "organization": "Tiny makers", "license": "apache-2.0"}
# What Q8_0 rounds to, 1/127 of the largest of 32 weights, through four layers of random weights.
ROUNDED = 0.2


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def plain(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return tiny_model(folder, "qwen2", tied=request.param)


@pytest.fixture(scope="module")
def file(plain, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.F32.gguf"
    return write_gguf(plain, path, gguf.GGMLQuantizationType.F32, **ABOUT)


def by_hand(folder, texts, **kwargs):
    """Return the last token's states of a plain language model, by a few lines."""
    tokenizer, model = (kind.from_pretrained(folder, **kwargs) for kind in (AutoTokenizer, AutoModelForCausalLM))
    states = []
    for text in texts:
        text = text[:-1] + "." if text.endswith("?") else text
        row = tokenizer(f'This sentence : "{text}" means in one word:"', return_tensors="pt")
        with torch.no_grad():
            states.append(model(**row, output_hidden_states=True).hidden_states[-1][0, -1])
    return torch.stack(states)


def test_the_vectors_are_those_of_the_weights_in_the_file(file, plain):
    model = PromptEOL(file)
    torch.testing.assert_close(torch.tensor(model.encode(TEXTS)), by_hand(plain, TEXTS), rtol=0, atol=1e-5)
    assert model.words(TEXTS[0]) == PromptEOL(plain).words(TEXTS[0])


def test_quantized_weights_are_those_that_gguf_dequantizes(plain, tmp_path):
    path = write_gguf(plain, tmp_path / "tiny.Q8_0.gguf", gguf.GGMLQuantizationType.Q8_0)
    model = PromptEOL(tmp_path, model_kwargs={"dtype": "bfloat16"})
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}
    held = {one.name: one for one in gguf.GGUFReader(path).tensors}["blk.1.ffn_up.weight"]
    expected = torch.tensor(gguf.dequantize(held.data, held.tensor_type)).bfloat16()
    assert torch.equal(model.module.transformer.model.layers[1].mlp.up_proj.weight.data, expected)
    assert model_info(path).dtype == "GGUF, Q8_0"
    vectors = torch.tensor(PromptEOL(path).encode(TEXTS))
    assert not torch.equal(vectors, by_hand(plain, TEXTS))
    assert torch.nn.functional.cosine_similarity(vectors, by_hand(plain, TEXTS)).min() > 1 - ROUNDED


def test_what_is_saved_is_a_plain_model_with_base_and_license(plain, tmp_path):
    about = ABOUT | {"base_model.0.repo_url": "https://huggingface.co/makers/tiny"}
    file = write_gguf(plain, tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.F32, **about)
    model = PromptEOL(file)
    model.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text()).get("quantization_config") is None
    stock = SentenceTransformer(str(tmp_path / "saved"))
    torch.testing.assert_close(stock.encode(TEXTS), model.encode(TEXTS), rtol=0, atol=1e-5)
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "base_model: makers/tiny" in card
    assert "weights came to be: dequantized from tiny.gguf, of makers/tiny, license apache-2.0" in card
    again = PromptEOL(tmp_path / "saved")
    assert again.provenance["weights"] == model.provenance["weights"]
    assert again.fingerprint() == model.fingerprint()


def test_a_folder_of_several_files_wants_one_named(file, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=r"holds a\.gguf, b\.gguf: choose one with gguf_file"):
        PromptEOL(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"no file 'c\.gguf'"):
        PromptEOL(tmp_path, gguf_file="c.gguf")
    assert PromptEOL(tmp_path, gguf_file="b.gguf").encode("A man.").shape == (32,)


def test_what_lies_beside_a_file_is_not_its_own(file, tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(file.read_bytes())
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert PromptEOL(tmp_path / "tiny.gguf").model_card_data.license == "apache-2.0"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: b"RIFF" + whole[4:], "begins with b'RIFF'"),
        (lambda whole: whole[:4] + struct.pack("<I", 9) + whole[8:], "version is 9"),
        (lambda whole: whole[:60], "ends, or is damaged"),
        (lambda whole: b"", "ends, or is damaged"),
    ],
)
def test_a_damaged_file_is_named(file, tmp_path, damage, message):
    (tmp_path / "broken.gguf").write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=message):
        PromptEOL(tmp_path / "broken.gguf")


def test_one_part_of_several_is_refused(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "tiny-00001-of-00002.gguf", "qwen2")
    writer.add_uint16("split.count", 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelError, match="one of 2 parts of a model: join them with llama-gguf-split"):
        PromptEOL(tmp_path)


def test_the_command_line_takes_a_file(file, tmp_path):
    run = CliRunner().invoke(app, ["create", "-m", str(file), "-o", str(tmp_path / "saved")])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "saved" / "model.safetensors").exists()
    run = CliRunner().invoke(app, ["info", "-m", str(file.parent), "--gguf-file", file.name, "--json"])
    assert json.loads(run.output)["dtype"].startswith("GGUF")
    run = CliRunner().invoke(app, ["create", "-m", str(file.parent / "no.gguf"), "-o", str(tmp_path / "none")])
    assert run.exit_code == 2


@pytest.mark.real
def test_a_real_file_gives_the_vectors_of_its_language_model():
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    folder = Path(os.environ.get("PROMPTEOL_REAL_MODELS", Path(cache, "prompteol", "real-models")))
    file = folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not file.exists():
        pytest.skip(f"no {file.name} in {folder}: bash scripts/real-models smollm2")
    model = PromptEOL(file, device="cpu")
    expected = by_hand(folder, TEXTS, gguf_file=file.name)
    torch.testing.assert_close(torch.tensor(model.encode(TEXTS)), expected, rtol=0, atol=1e-4)
    assert model.model_card_data.license == "apache-2.0"
