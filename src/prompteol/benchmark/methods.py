"""The ways to get the same vectors: ours, stock sentence-transformers, the authors' script, llemb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from prompteol.prompts import PromptTemplate

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

__all__ = ["OURS", "STOCK", "Method", "methods"]

OURS = "prompteol"
STOCK = "sentence-transformers"
# As stock sentence-transformers has it.
_BATCH_SIZE = 32


@dataclass(frozen=True)
class Method:
    """One way to embed texts.

    Args:
        name: what the table calls it.
        encode: texts in, (texts, dimension) out, in their order.
        backbone: whose input embeddings see every token that is computed.
        comparable: whether its vectors must be stock's.
    """

    name: str
    encode: Callable[[list[str]], Tensor]
    backbone: PreTrainedModel
    comparable: bool = True


def methods(source: str, model: PromptEOL) -> Iterator[Method]:
    """Set up every way to embed with a model that reads its last layer; weights are shared where they are alike.

    Args:
        source: where the model was loaded from; the authors' way and llemb load it themselves.
        model: ours. Its dtype and device are everybody's.

    Yields:
        Ours, stock, the authors', llemb if it is installed, then ours at 75 % of the depth and, for a model in fp32,
        ours in bf16.
    """
    template = model.template.for_task(None)
    yield _ours(OURS, model)
    yield _stock(model)
    yield _authors(source, model, template)
    if find_spec("llemb"):
        yield _llemb(source, model, template)
    yield replace(_ours(f"{OURS}, layer at 75 %", _at_layer(model, 0.75)), comparable=False)
    if model.dtype == torch.float32:
        yield _ours(f"{OURS}, bf16", deepcopy(model).to(torch.bfloat16))


def _ours(name: str, model: PromptEOL) -> Method:
    return Method(name, lambda texts: _encode(model, texts), model.module.transformer.model)


def _encode(model: SentenceTransformer, texts: list[str]) -> Tensor:
    vectors: Tensor = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    return vectors


def _stock(model: PromptEOL) -> Method:
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        stock = SentenceTransformer(folder, device=str(model.device), model_kwargs={"dtype": model.dtype})
    transformer = cast("Transformer", stock[0])
    _share_weights(transformer.model, model)
    return Method(STOCK, lambda texts: _encode(stock, texts), transformer.model)


def _at_layer(model: PromptEOL, depth: float) -> PromptEOL:
    from prompteol.sentence_transformers import PromptEOL

    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shallow = PromptEOL(folder, layer=depth, device=str(model.device), model_kwargs={"dtype": model.dtype})
    _share_weights(shallow.module.transformer.model, model)
    return shallow


def _authors(source: str, model: PromptEOL, template: PromptTemplate) -> Method:
    """Do what the authors' ``evaluation.py`` does: left padding, every hidden state, logits."""
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    causal: Any = AutoModelForCausalLM.from_pretrained(source, dtype=model.dtype).eval()
    causal.to(model.device)
    _share_weights(causal.base_model, model)
    causal.tie_weights()

    @torch.no_grad()
    def embed(prompts: list[str]) -> Tensor:
        batch = tokenizer(prompts, padding=True, return_tensors="pt").to(causal.device)
        hidden: Tensor = causal(**batch, output_hidden_states=True, return_dict=True).hidden_states[-1]
        return hidden[:, -1]

    return Method("the authors' way", lambda texts: _by_length(texts, template, embed), causal.base_model)


def _llemb(source: str, model: PromptEOL, template: PromptTemplate) -> Method:
    from llemb import Encoder  # type: ignore[import-untyped, import-not-found]

    encoder = Encoder(source, device=str(model.device), dtype=model.dtype)
    causal = encoder.backend_instance.model
    _share_weights(causal.base_model, model)
    causal.tie_weights()

    # Our prompts in place of its own, so that everybody computes the same tokens.
    def embed(prompts: list[str]) -> Tensor:
        states: Tensor = encoder.encode(prompts, pooling_method="last_token")
        return states

    return Method("llemb", lambda texts: _by_length(texts, template, embed), causal.base_model)


def _by_length(texts: list[str], template: PromptTemplate, embed: Callable[[list[str]], Tensor]) -> Tensor:
    """Embed texts in batches of like length, as SentEval hands them over."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    prompts = [template.render(texts[place]) for place in order]
    states = torch.cat([embed(prompts[start : start + _BATCH_SIZE]) for start in range(0, len(prompts), _BATCH_SIZE)])
    return states[torch.tensor(order).argsort()]


def _share_weights(backbone: torch.nn.Module, model: PromptEOL) -> None:
    """Make a backbone use the very tensors of ours, so that several of them fit in memory."""
    weights = model.module.transformer.model.state_dict(keep_vars=True)
    if backbone.state_dict().keys() == weights.keys():
        backbone.load_state_dict(weights, assign=True)
