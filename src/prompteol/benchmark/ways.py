"""Set up what is timed: ways to the same vectors, ours, stock's and the authors', random models, made-up texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from prompteol.files import chunks

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

OURS = "prompteol"
STOCK = "sentence-transformers"
# As stock sentence-transformers has it.
_BATCH_SIZE = 32
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
    "gemma3-270m": {
        "model_type": "gemma3_text",
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "sliding_window": 512,
    },
}
# Of x86 and of ARM, as torch.cpu.get_capabilities names them.
_BF16_CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16")
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


@dataclass(frozen=True)
class Method:
    """Hold one way to embed texts."""

    name: str  # what the table calls it
    encode: Callable[[list[str]], Tensor]  # texts in, (texts, dimension) out, in their order
    backbone: PreTrainedModel  # whose input embeddings see every token that is computed
    comparable: bool = True  # whether its vectors must be stock's


def methods(source: str, model: PromptEOL) -> Iterator[Method]:
    """Yield every way to embed, in the dtype and on the device of ``model``; the authors' loads ``source`` itself."""
    yield _encoding(OURS, model)
    yield _encoding(STOCK, _reloaded(SentenceTransformer, model))
    yield _authors(source, model)
    yield _encoding(f"{OURS}, layer at 75 %", _reloaded(type(model), model, layer=0.75), comparable=False)
    if model.dtype == torch.float32 and computes_bf16(model.device):
        yield _encoding(f"{OURS}, bf16", deepcopy(model).to(torch.bfloat16))


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bf16 in hardware; other processors widen every number first."""
    if device.type != "cpu":
        return True
    # Before torch 2.11 nobody says.
    capabilities: Any = getattr(torch.cpu, "get_capabilities", None)
    return capabilities is None or any(capabilities().get(name) for name in _BF16_CAPABILITIES)


def _encoding(name: str, model: SentenceTransformer, *, comparable: bool = True) -> Method:
    encode: Any = partial(model.encode, convert_to_tensor=True, show_progress_bar=False)
    return Method(name, encode, cast("PreTrainedModel", model.transformers_model), comparable)


def _reloaded(kind: type[SentenceTransformer], model: PromptEOL, **options: Any) -> SentenceTransformer:
    """Return a model as it loads once saved, with the very weights of this one."""
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = kind(folder, device=str(model.device), model_kwargs={"dtype": model.dtype}, **options)
    _share_weights(cast("PreTrainedModel", loaded.transformers_model), model)
    return loaded


def _authors(source: str, model: PromptEOL) -> Method:
    """Do what the authors' ``evaluation.py`` does: left padding, every hidden state, logits."""
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    causal: Any = AutoModelForCausalLM.from_pretrained(source, dtype=model.dtype).eval()
    causal.to(model.device)
    _share_weights(causal.base_model, model)
    causal.tie_weights()

    template = model.template.for_task(None)

    @torch.no_grad()
    def encode(texts: list[str]) -> Tensor:
        # In batches of like length, as SentEval hands them over.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        states = []
        for places in chunks(order, _BATCH_SIZE):
            prompts = [template.render(texts[place]) for place in places]
            batch = tokenizer(prompts, padding=True, return_tensors="pt").to(causal.device)
            states.append(causal(**batch, output_hidden_states=True, return_dict=True).hidden_states[-1][:, -1])
        return torch.cat(states)[torch.tensor(order).argsort()]

    return Method("the authors' way", encode, causal.base_model)


def _share_weights(backbone: torch.nn.Module, model: PromptEOL) -> None:
    """Make a backbone use the very tensors of ours, so that several of them fit in memory."""
    weights = model.module.transformer.model.state_dict(keep_vars=True)
    if backbone.state_dict().keys() == weights.keys():
        backbone.load_state_dict(weights, assign=True)


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
    starts = (rng.randrange(len(_LENGTHS) - 1) for _ in range(count))
    lengths = (rng.randint(*_LENGTHS[start : start + 2]) for start in starts)
    return [" ".join(rng.choices(_WORDS.split(), k=length)).capitalize() + "." for length in lengths]


def short_sentences(count: int) -> list[str]:
    """Make up sentences of three words, as search queries are."""
    rng = random.Random(0)  # noqa: S311 - nothing here is a secret
    return [" ".join(rng.choices(_WORDS.split(), k=3)) for _ in range(count)]
