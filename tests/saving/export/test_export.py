"""An exported folder gives the model's own vectors for plain text, through stock libraries alone."""

import json
import re
import shlex
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3TextConfig, Qwen3Config

from prompteol import PromptEOL, PromptTemplate, export
from prompteol.errors import CorpusError, ExportError, ModelError, SettingError
from prompteol.saving.export import exporting
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.testing import tiny_tokenizer

TEXTS = ["A man is playing a guitar.", "Why?", 'say "hi" {{ x }}', "😀 文字。", "photo.png", "  two  blanks\n"]
ARCHITECTURES = ["llama", "opt", "gpt2", "qwen2", "qwen3", "gemma3_text"]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(" .?!\"'”)…。:;,-ab1É\n"))
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
}


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture(scope="session")
def folders(tiny, tmp_path_factory):
    """The folder of a tiny model of any of the architectures; ``None`` is the default model."""

    def folder(architecture):
        if architecture not in made:
            config = {"qwen3": Qwen3Config, "gemma3_text": Gemma3TextConfig}[architecture]
            tokenizer = tiny_tokenizer("qwen2" if architecture == "qwen3" else "llama")
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config(vocab_size=len(tokenizer), pad_token_id=0, **SHAPE))
            made[architecture] = str(tmp_path_factory.mktemp(architecture))
            model.save_pretrained(made[architecture])
            tokenizer.save_pretrained(made[architecture])
        return made[architecture]

    made = {None: None, **{name: tiny(name) for name in ("llama", "opt", "gpt2", "qwen2")}}
    return folder


@pytest.fixture(scope="session", params=[None, *ARCHITECTURES], ids=str)
def exported(request, folders, tmp_path_factory):
    model = PromptEOL(folders(request.param), device="cpu")
    return model, export(model, tmp_path_factory.mktemp("exports") / "out")


@pytest.fixture(scope="session")
def tokenizers(exported):
    """The exported tokenizer as each library reads it."""
    _, done = exported
    raw = Tokenizer.from_file(str(done.folder / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(done.record["tokenizer"] or done.folder)
    return lambda text: raw.encode(text).ids, lambda text: auto(text)["input_ids"]


@pytest.fixture
def llama(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


def stock(done):
    """Load an exported folder as its card says."""
    model = SentenceTransformer(str(done.folder), device="cpu")
    if done.record["tokenizer"]:
        model[0].processor = AutoTokenizer.from_pretrained(done.record["tokenizer"])
    return model


def test_stock_sentence_transformers_gives_our_vectors(exported):
    model, done = exported
    difference = unit(stock(done).encode(TEXTS)) - unit(model.encode(TEXTS))
    assert np.abs(difference).max() <= 4e-6


@given(text=ANY_TEXT)
def test_token_rows_are_ours(exported, tokenizers, text):
    model, done = exported
    prompt = ExportedPrompt(model.module.prompter)
    if prompt.kind(text) != "ordinary":
        return
    own = prompt.rows([text])[0]
    if len(own) >= done.record["max_seq_length"]:
        return
    assert [read(text) for read in tokenizers] == [own, own]


def test_the_report_says_what_was_compared(exported):
    _, done = exported
    written = json.loads((done.folder / "export.json").read_text())
    assert written["compared"] == [asdict(one) for one in done.comparisons]
    kinds = {(one.loaded, one.kind): one for one in done.comparisons}
    last = done.comparisons[-1].loaded
    for loaded in ("tokenizers", last):
        assert kinds[loaded, "ordinary"].identical == 1
        assert kinds[loaded, "ordinary"].difference <= 4e-6
        assert {kind for way, kind in kinds if way == loaded} == {"ordinary", "blank", "special", "cut"}


def test_a_cut_text_keeps_the_end_of_the_prompt(exported):
    model, done = exported
    long = "A man sings of the sea and of the river. " * 400
    tokenizer = Tokenizer.from_file(str(done.folder / "tokenizer.json"))
    tokenizer.enable_truncation(60)
    ids = tokenizer.encode(long).ids
    kept = [token for token in model.module.prompter.tail() if token in ids][-4:]
    assert len(ids) == 60
    assert ids[-4:] == kept


def test_qwen2_gets_a_tokenizer_of_its_own(folders, tmp_path):
    """transformers 5 puts its own class in the place of what the files say, and drops the prompt."""
    done = export(PromptEOL(folders("qwen2"), device="cpu"), tmp_path / "out")
    assert done.record["tokenizer"] == str(tmp_path / "out" / "tokenizer")
    assert f"--tokenizer {tmp_path / 'out' / 'tokenizer'}" in done.commands["vLLM"]
    assert "infinity" not in done.commands
    assert not (tmp_path / "out" / "tokenizer" / "config.json").exists()
    assert "vllm serve out --tokenizer out/tokenizer " in (tmp_path / "out" / "README.md").read_text()


def test_commands_name_any_folder(folders, tmp_path):
    out = tmp_path / "my model's $HOME"
    done = export(PromptEOL(folders("qwen2"), device="cpu"), out)
    assert shlex.split(done.commands["vLLM"])[2:5] == [str(out), "--tokenizer", str(out / "tokenizer")]
    [line] = re.findall(r"^vllm serve .*$", (out / "README.md").read_text(), re.MULTILINE)
    assert shlex.split(line)[2:5] == [out.name, "--tokenizer", f"{out.name}/tokenizer"]


def test_files_of_both_generations(exported):
    _, done = exported
    read = {name: json.loads((done.folder / name).read_text()) for name in ("modules.json", "config.json")}
    assert [one["type"] for one in read["modules.json"]] == [
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
    ]
    pooling = json.loads((done.folder / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode"] == "lasttoken"
    assert pooling["pooling_mode_lasttoken"] is True
    assert pooling["word_embedding_dimension"] > 0
    # The constructor of sentence-transformers 3 takes whatever stands there.
    assert set(pooling) <= {"word_embedding_dimension", "include_prompt", *(key for key in pooling if "mode" in key)}
    assert json.loads((done.folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 512
    assert read["config.json"]["torch_dtype"] == "float32"
    assert not (done.folder / "chat_template.jinja").exists()
    tokenizer = json.loads((done.folder / "tokenizer_config.json").read_text())
    assert "chat_template" not in tokenizer
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]


TEMPLATES = {
    "demonstrations": {"demonstrations": [("A horse.", "Horse"), ('She said "no" {{ }}.', "Refusal")]},
    "a longer preset": {"template": "knowledge-enhancement"},
    "plain normalization": {"template": PromptTemplate('Text: "', '" is about:"', "plain")},
    "no normalization": {"template": PromptTemplate('Text: "', '" is about:"', "none")},
    "no quotes": {"template": PromptTemplate("Summary of ", " in one word :", "none")},
    "no BOS": {"template": PromptTemplate('This sentence : "', '" means in one word:"', bos=False)},
}


@pytest.mark.parametrize("options", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_any_template(tiny, architecture, options, tmp_path):
    model = PromptEOL(tiny(architecture), device="cpu", **options)
    done = export(model, tmp_path / "out")
    assert np.abs(unit(stock(done).encode(TEXTS)) - unit(model.encode(TEXTS))).max() <= 4e-6


def test_a_pair_is_exported_one_task_at_a_time(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), template="promptreps", device="cpu")
    with pytest.raises(SettingError, match="a template for queries and one for documents"):
        export(model, tmp_path / "out")
    query, document = (export(model, tmp_path / task, task=task) for task in ("query", "document"))
    assert np.abs(unit(stock(query).encode(TEXTS)) - unit(model.encode_query(TEXTS))).max() <= 4e-6
    assert np.abs(unit(stock(document).encode(TEXTS)) - unit(model.encode_document(TEXTS))).max() <= 4e-6


def test_a_default_prompt_is_written_too(tiny, tmp_path):
    prompts = {"kind": "Be kind. ", "query": "Find: "}
    model = PromptEOL(tiny("llama"), device="cpu", prompts=prompts, default_prompt_name="kind")
    done = export(model, tmp_path / "default")
    assert np.abs(unit(stock(done).encode(TEXTS)) - unit(model.encode(TEXTS))).max() <= 4e-6
    done = export(model, tmp_path / "query", task="query")
    assert np.abs(unit(stock(done).encode(TEXTS)) - unit(model.encode_query(TEXTS))).max() <= 4e-6


def test_normalize_and_dense_are_modules(llama, tmp_path):
    llama.append(Dense(32, 8, bias=True, activation_function=torch.nn.Identity()))
    done = export(llama, tmp_path / "out", normalize=True)
    again = stock(done)
    assert [type(module) for module in again][1:] == [Pooling, Dense, Normalize]
    vectors = again.encode(TEXTS)
    assert np.abs(vectors - unit(llama.encode(TEXTS))).max() <= 4e-6
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


@pytest.mark.parametrize("architecture", ["llama", "opt", "qwen3", "gemma3_text"])
def test_a_layer_before_the_last_cuts_the_backbone(folders, architecture, tmp_path):
    model = PromptEOL(folders(architecture), layer=-3, device="cpu")
    before = model.encode(TEXTS)
    done = export(model, tmp_path / "out")
    again = stock(done)
    assert again[0].model.config.num_hidden_layers == 2
    assert np.abs(unit(again.encode(TEXTS)) - unit(before)).max() <= 4e-6
    # OPT can say that it has no final norm, so that lengths stay too.
    assert (type(again[-1]) is Normalize) == (architecture != "opt")
    assert np.array_equal(model.encode(TEXTS), before)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays(tiny, dtype, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu", model_kwargs={"dtype": dtype})
    done = export(model, tmp_path / "out")
    assert done.record["dtype"] == dtype
    assert stock(done)[0].model.dtype == getattr(torch, dtype)


def test_an_adapter_is_merged(tiny, tmp_path):
    peft = pytest.importorskip("peft")
    model = PromptEOL(tiny("llama"), device="cpu")
    bare = model.encode(TEXTS)
    model.add_adapter(peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    done = export(model, tmp_path / "out")
    vectors = unit(stock(done).encode(TEXTS))
    assert np.abs(vectors - unit(model.encode(TEXTS))).max() <= 4e-6
    assert np.abs(vectors - unit(bare)).max() > 1e-3


class TestRefusals:
    def test_a_layer_norm_behind_the_cut(self, tiny, tmp_path):
        with pytest.raises(ExportError, match="its final LayerNorm changes the direction"):
            export(PromptEOL(tiny("gpt2"), layer=-2, device="cpu"), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_a_technique_of_several_forwards(self, tiny, tmp_path):
        with pytest.raises(ExportError, match="no server does"):
            export(PromptEOL(tiny("llama"), technique="metaeol", device="cpu"), tmp_path / "out")

    def test_a_dimension_that_vectors_are_cut_to(self, llama, tmp_path):
        llama.truncate_dim = 8
        with pytest.raises(ExportError, match="truncate_dim=8"):
            export(llama, tmp_path / "out")

    def test_another_module(self, llama, tmp_path):
        llama.append(torch.nn.Identity())
        with pytest.raises(ExportError, match="module 1 is Identity"):
            export(llama, tmp_path / "out")

    def test_a_dense_behind_a_cut(self, tiny, tmp_path):
        model = PromptEOL(tiny("llama"), layer=-2, device="cpu")
        model.append(Dense(32, 8))
        with pytest.raises(ExportError, match="with a Dense behind it"):
            export(model, tmp_path / "out")

    def test_a_folder_that_is_there(self, llama, tmp_path):
        export(llama, tmp_path / "out")
        with pytest.raises(CorpusError, match="--force"):
            export(llama, tmp_path / "out")
        export(llama, tmp_path / "out", force=True)

    @pytest.mark.parametrize("server", [None, "llama.cpp"])
    def test_a_tokenizer_that_cannot_be_written(self, llama, tmp_path, monkeypatch, server):
        def write_model(folder, *arguments):
            folder_writing(folder, *arguments)
            (folder / "tokenizer.json").mkdir()

        folder_writing = exporting.write_model
        monkeypatch.setattr(exporting, "write_model", write_model)
        with pytest.raises(CorpusError, match="was not written: Is a directory"):
            export(llama, tmp_path / "out", server=server)
        assert not list(tmp_path.iterdir())

    def test_vectors_that_are_not_ours(self, llama, tmp_path, monkeypatch):
        encode = PromptEOL.encode
        monkeypatch.setattr(PromptEOL, "encode", lambda self, *args, **kwargs: encode(self, *args, **kwargs) + 1)
        with pytest.raises(ExportError, match="--allow-inexact"):
            export(llama, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
        assert export(llama, tmp_path / "out", allow_inexact=True).comparisons[0].difference > 4e-6

    def test_an_export_is_no_model_to_prompt_again(self, llama, tmp_path):
        export(llama, tmp_path / "out")
        for options in ({}, {"template": "prompteol"}):
            with pytest.raises(ModelError, match="an export for servers, whose tokenizer writes the prompt"):
                PromptEOL(tmp_path / "out", **options)
