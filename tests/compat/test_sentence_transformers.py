"""Canaries: each says what sentence-transformers changed that its public interface does not promise."""

import sentence_transformers
import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import batch_to_device
from transformers import AutoTokenizer

from prompteol.compat import output_path, read_output, reusing_tokenizer
from prompteol.testing import tiny_model

VERSION = f"sentence-transformers {sentence_transformers.__version__}"


def test_a_transformer_reads_the_output_it_is_given(tmp_path):
    module = Transformer(tiny_model(tmp_path))
    read_output(module, ["hidden_states", -2])
    assert output_path(module.modality_config) == ["hidden_states", -2]
    ids = torch.tensor([[5, 6]])
    with torch.inference_mode():
        found = module({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["token_embeddings"]
        expected = module.model(input_ids=ids, output_hidden_states=True).hidden_states[-2]
    assert torch.allclose(found, expected), f"{VERSION} reads another output than modality_config names"


def test_features_may_carry_objects():
    features = batch_to_device({"rows": "an object"}, torch.device("cpu"))
    assert features == {"rows": "an object"}, f"{VERSION} takes tensors alone as features"


def test_sentence_transformers_takes_a_tokenizer_that_was_read_already(tiny):
    folder = tiny("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with reusing_tokenizer(tokenizer, folder):
        taken = sentence_transformers.base.modules.Transformer(folder).tokenizer
    found = f"sentence-transformers {sentence_transformers.__version__}"
    assert taken is tokenizer, f"{found} reads a tokenizer in another way, so its files are opened twice"
    assert sentence_transformers.base.modules.Transformer(folder).tokenizer is not tokenizer
