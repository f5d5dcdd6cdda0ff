"""Set up the ways to compute the same vectors: ours, stock sentence-transformers and the authors' script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from prompteol.files import chunks

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

OURS = "prompteol"
STOCK = "sentence-transformers"
# As stock sentence-transformers has it.
_BATCH_SIZE = 32
_Model = TypeVar("_Model", bound=SentenceTransformer)


@dataclass(frozen=True)
class Method:
    """Hold one way to embed texts."""

    name: str  # what the table calls it
    encode: Callable[[list[str]], Tensor]  # texts in, (texts, dimension) out, in their order
    backbone: PreTrainedModel  # whose input embeddings see every token that is computed
    comparable: bool = True  # whether its vectors must be stock's


def methods(source: str, model: PromptEOL) -> Iterator[Method]:
    """Yield every way to embed, in the dtype and on the device of ``model``; the authors' loads ``source`` itself."""
    yield _ours(OURS, model)
    yield _stock(model)
    yield _authors(source, model)
    yield replace(_ours(f"{OURS}, layer at 75 %", _at_layer(model, 0.75)), comparable=False)
    if model.dtype == torch.float32:
        yield _ours(f"{OURS}, bf16", deepcopy(model).to(torch.bfloat16))


def _ours(name: str, model: PromptEOL) -> Method:
    return Method(name, lambda texts: _encode(model, texts), model.module.transformer.model)


def _encode(model: SentenceTransformer, texts: list[str]) -> Tensor:
    vectors: Tensor = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    return vectors


def _stock(model: PromptEOL) -> Method:
    stock = _reloaded(SentenceTransformer, model)
    transformer = cast("Transformer", stock[0])
    _share_weights(transformer.model, model)
    return Method(STOCK, lambda texts: _encode(stock, texts), transformer.model)


def _at_layer(model: PromptEOL, depth: float) -> PromptEOL:
    shallow = _reloaded(type(model), model, layer=depth)
    _share_weights(shallow.module.transformer.model, model)
    return shallow


def _reloaded(kind: type[_Model], model: PromptEOL, **options: Any) -> _Model:
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return kind(folder, device=str(model.device), model_kwargs={"dtype": model.dtype}, **options)


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
