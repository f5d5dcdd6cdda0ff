"""Make up what is timed: random models of the shape of real ones, and sentences with the lengths of real ones."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

# The defaults of transformers' OPT configuration are those of facebook/opt-125m.
SHAPES: dict[str, dict[str, Any]] = {
    "opt-125m": {"model_type": "opt"},
    "qwen3-0.6b": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
}
_EOS, _PAD = "</s>", "<pad>"
# Words of a sentence at every twentieth of the 3,000 sentences of STS Benchmark's dev split (Cer et al., 2017), split
# at blanks.
_LENGTHS = (3, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 21, 29)

_WORDS = """
a the one two some many young old small large red black white green woman man boy girl child people group dog
cat horse bird train car bus boat plane house street city market school river field mountain water snow grass
ball guitar piano flute book paper phone table chair is are was were has plays rides runs walks sits stands
jumps cuts cooks eats drinks reads writes says holds throws opens closes with and of in on at by near under over
through from to for after before today yesterday again slowly quickly government police company bank court
president minister report percent million dollars talks deal vote attack fire storm game team season
"""


def build_shape(name: str, folder: str | Path) -> str:
    """Write a random causal LM of a shape to a folder, with a tokenizer for which most words are one token."""
    tokenizer = _tokenizer()
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPES[name], **ids), dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=[_EOS, _PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    prompt = 'This sentence : "{}" means in one word:"'
    tokenizer.train_from_iterator([prompt.replace("{}", text) for text in sentences(2000, seed=1)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_EOS} $A", special_tokens=[(_EOS, tokenizer.token_to_id(_EOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_EOS, eos_token=_EOS, pad_token=_PAD, model_max_length=2048
    )


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Make up sentences whose lengths are spread as those of STS Benchmark, the same ones for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - nothing here is a secret
    return [" ".join(rng.choices(_WORDS.split(), k=_length(rng))).capitalize() + "." for _ in range(count)]


def _length(rng: random.Random) -> int:
    place = rng.randrange(len(_LENGTHS) - 1)
    return rng.randint(_LENGTHS[place], _LENGTHS[place + 1])
