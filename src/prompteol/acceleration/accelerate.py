"""Put the packed forward into a model of sentence-transformers, and take it out again.

What is put in are attributes of the object: its type, its modules and what it saves stay sentence-transformers' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from transformers import PreTrainedModel

from prompteol.acceleration.calls import PackedCall
from prompteol.acceleration.packed_transformer import PackedTransformer
from prompteol.errors import ModelError, SettingError
from prompteol.inference.attention import check_attention
from prompteol.inference.pooling import POOLING_MODES

Model = TypeVar("Model", SentenceTransformer, CrossEncoder)


def accelerate(model: Model, *, attention: str = "auto") -> Model:
    """Let a model compute what texts begin with in common once, and pad nothing, with the same vectors or scores.

    Everything else about it stays: its type, modules, prompts, training, and what it saves. Packed are calls of
    ``encode`` and ``predict`` with many texts; a text alone, token embeddings, training, messages and images run as
    before. Before results are trusted, a few rows run both ways; where they differ, or the architecture cannot be
    packed, the model runs as before, with one warning that says why.

    Args:
        model: changed in place; :func:`restore` undoes it. A ``Transformer``, a ``Pooling`` of the last token, the
            first or a mean, and modules that work on the sentence embedding; or a ``CrossEncoder`` on a language model.
        attention: the attention kernel, as in ``PromptEOL(attention=...)``.

    Returns:
        The same object.

    Raises:
        SettingError: it is no such model, or no kernel has that name.
        ModelError: its modules, backend or pooling cannot be packed; the message says which.
    """
    check_attention(attention)
    call = _call(model)
    if is_accelerated(model):
        restore(model)
    transformer: Transformer = _transformer(model)
    pooling = _pooling(model) if call == "encode" else None
    if call == "predict":
        _check_reranker(model)
    packed = PackedTransformer(transformer, pooling, attention=attention)
    vars(transformer)["forward"] = packed
    vars(transformer)["forward_kwargs"] = {*transformer.forward_kwargs, "packed"}
    vars(model)[call] = PackedCall(model, call)
    return model


def restore(model: Model) -> Model:
    """Take the packed forward out of a model, which then runs as sentence-transformers wrote it.

    Returns:
        The same object, also where nothing was in it.
    """
    vars(model).pop(_call(model), None)
    for name in ("forward", "forward_kwargs"):
        vars(model[0]).pop(name, None)
    return model


def is_accelerated(model: Any) -> bool:
    """Tell whether the packed forward is in a model."""
    return isinstance(vars(model[0]).get("forward"), PackedTransformer)


def _call(model: Any) -> str:
    """Return the name of the method that calls of many texts go through."""
    if isinstance(model, SentenceTransformer):
        return "encode"
    if isinstance(model, CrossEncoder):
        return "predict"
    raise SettingError(
        f"accelerate takes a SentenceTransformer or CrossEncoder, not {type(model).__name__}: "
        "give sentence_transformers.SentenceTransformer(name)"
    )


def _transformer(model: Any) -> Transformer:
    transformer: Any = model[0]
    if type(transformer) is not Transformer:
        hint = ": PromptEOL runs the packed forward by itself" if hasattr(transformer, "stock_modules") else ""
        raise ModelError(f"its first module is {type(transformer).__name__}, and a Transformer can be packed{hint}")
    if transformer.backend != "torch" or not isinstance(transformer.model, PreTrainedModel):
        raise ModelError(
            f"its backend is {transformer.backend!r}: load it with backend='torch', whose attention can be replaced"
        )
    if "text" not in transformer.modality_config and "message" not in transformer.modality_config:
        raise ModelError(f"it takes {', '.join(map(str, transformer.modality_config))}: only text can be packed")
    if vars(transformer).get("forward") is not None:
        raise ModelError("another forward was put on its Transformer: take that out first")
    return cast("Transformer", transformer)


def _pooling(model: Any) -> Pooling:
    pooling: Any
    pooling, *others = _others(model)
    if type(pooling) is not Pooling:
        raise ModelError(f"its second module is {type(pooling).__name__}: a Pooling has to follow the Transformer")
    if pooling.pooling_mode not in POOLING_MODES:
        modes = ", ".join(map(repr, POOLING_MODES))
        raise ModelError(f"its pooling is {pooling.pooling_mode!r}: {modes} can be packed")
    for module in others:
        source = getattr(module, "module_input_name", "sentence_embedding")
        if source != "sentence_embedding":
            raise ModelError(f"its {type(module).__name__} reads {source!r}, which the packed forward does not compute")
    return cast("Pooling", pooling)


def _check_reranker(model: Any) -> None:
    task, modules = model[0].transformer_task, list(model.children())[1:]
    known: dict[Any, list[type]] = {"text-generation": [LogitScore], "sequence-classification": []}
    if [type(module) for module in modules] != known.get(task):
        names = ", ".join(type(module).__name__ for module in modules) or "nothing"
        raise ModelError(
            f"its task is {task!r} with {names} behind the Transformer: a causal LM with a LogitScore or a sequence "
            "classifier can be packed"
        )


def _others(model: Any) -> Sequence[nn.Module]:
    modules = list(model.children())[1:]
    if not modules:
        raise ModelError("it has no module but the Transformer: a Pooling has to follow")
    return modules
