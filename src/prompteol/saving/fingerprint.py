"""Compute the fingerprint of a model; models have the same one if and only if their vectors should be equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any
from weakref import ref

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Module
from sentence_transformers.sentence_transformer.modules.tokenizer import WordTokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from prompteol.errors import ModelError
from prompteol.model import adapter_settings, has_adapter, tensors_as_saved, vector_settings
from prompteol.tokenization import tokenizer_state

_frozen_digests: ContextVar[dict[int, tuple[ref[nn.Parameter], bytes]] | None] = ContextVar("digests", default=None)


def fingerprint(model: SentenceTransformer) -> str:
    """Return 64 hex digits over all that decides a model's vectors.

    These are the weights with their dtypes, the backbone's configuration but for names, versions and what only
    training or generation reads, an adapter's scaling, the whole tokenizer and its chat template (so prompt template,
    demonstrations and normalization), the layer, the pooling, the modules after it, the saved prompts, and the
    dimension that vectors are cut to. Device, engine and the place of files do not count. Every weight is read, at
    about the speed of a copy to disk, so keep the result.

    Raises:
        ModelError: the weights are bitsandbytes' 4-bit ones and lie on a CPU, or are offloaded.
    """
    _check_readable(model)
    digest = hashlib.sha256()
    for module in _stock_modules(model):
        digest.update(_canonical([*_described(module), *_inner(module)]))
        parameters = dict(module.named_parameters(remove_duplicate=False))
        saved = tensors_as_saved(getattr(module, "model", None), module.state_dict())
        for name, tensor in sorted(saved.items()):
            digest.update(_canonical([name, str(tensor.dtype), list(tensor.shape)]))
            digest.update(_tensor_digest(tensor, parameters.get(name)))
    technique = getattr(model[0], "technique", None)
    if technique is not None:
        digest.update(_canonical([type(technique).__name__, asdict(technique)]))
    digest.update(_canonical(_tokenizer(getattr(model, "tokenizer", None))))
    digest.update(_canonical([model.prompts, model.default_prompt_name, model.truncate_dim, model.max_seq_length]))
    return digest.hexdigest()


@contextmanager
def remembering_frozen_weights() -> Iterator[None]:
    """Hash each weight without gradient only once within a block, in which nothing may change these weights."""
    token = _frozen_digests.set({})
    try:
        yield
    finally:
        _frozen_digests.reset(token)


def _tensor_digest(tensor: Tensor, parameter: nn.Parameter | None) -> bytes:
    known = _frozen_digests.get()
    if known is None or parameter is None or parameter.requires_grad:
        return hashlib.sha256(_bytes(tensor)).digest()
    hashed = known.get(id(parameter))
    # Python may give the id of a deleted parameter to another one.
    if hashed is None or hashed[0]() is not parameter:
        hashed = known[id(parameter)] = ref(parameter), hashlib.sha256(_bytes(tensor)).digest()
    return hashed[1]


def _check_readable(model: nn.Module) -> None:
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            "some weights are offloaded by device_map: load the model without it to save or fingerprint it"
        )
    # Seen with bitsandbytes 0.50 on a processor with AVX512-BF16: reading the weights changes them, and the vectors
    # with them, by 1 % of their largest entry under double quantization and beyond recognition without.
    for module in model.modules():
        if getattr(module, "is_loaded_in_4bit", False) and getattr(module, "device", None) == torch.device("cpu"):
            raise ModelError(
                f"{type(module).__name__} holds 4-bit weights on a CPU, which bitsandbytes damages when they are read "
                "for a fingerprint or a saved model: load it without quantization_config, in 8 bits, or on CUDA"
            )


def _stock_modules(model: SentenceTransformer) -> Iterable[nn.Module]:
    """Yield the modules as they are saved, so that a model and its saved form have one fingerprint."""
    for module in model.children():
        stock = getattr(module, "stock_modules", None)
        yield from stock if isinstance(stock, tuple) else (module,)


def _described(module: nn.Module) -> list[Any]:
    """Return what decides a module's vectors besides its weights: its class and settings, and its backbone's."""
    settings = _with_plain_keys(module.get_config_dict()) if isinstance(module, Module) else {}
    backbone = getattr(module, "model", None)
    config = vector_settings(getattr(backbone, "config", None))
    return [type(module).__name__, settings, config, adapter_settings(backbone) if has_adapter(backbone) else []]


def _with_plain_keys(value: Any) -> Any:
    return {str(key): _with_plain_keys(part) for key, part in value.items()} if isinstance(value, dict) else value


def _inner(module: nn.Module) -> Iterator[Any]:
    """Yield what decides the vectors of the modules within a module, such as a router's."""
    for name, part in module.named_modules():
        if part is not module and isinstance(part, Module):
            yield [name, *_described(part), _tokenizer(getattr(part, "tokenizer", None))]


def _tokenizer(tokenizer: Any) -> Any:
    """Return what decides the ids of a tokenizer from transformers, StaticEmbedding or a word model."""
    if tokenizer is None:
        return None
    if isinstance(tokenizer, WordTokenizer):
        return [type(tokenizer).__name__, {name: _plain(value) for name, value in vars(tokenizer).items()}]
    return tokenizer_state(tokenizer)


def _plain(value: Any) -> Any:
    if isinstance(value, PreTrainedTokenizerBase):
        return _tokenizer(value)
    # The order of a set of strings differs between processes.
    return sorted(value) if isinstance(value, (set, frozenset)) else value


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
