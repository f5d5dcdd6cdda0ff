"""Detect the kind of model at a path or Hub id from its config files, and say which of its files cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import HfApi
from safetensors import SafetensorError
from transformers import AutoConfig, PretrainedConfig

from prompteol.compat import dequantizing, initialized_weights, language_model_types
from prompteol.errors import ModelError, ModelNotFoundError, PromptEOLError
from prompteol.files.model_folders import ADAPTER, MANIFEST, locate_model
from prompteol.hub import fetch, raise_unanswered, reachable
from prompteol.model.gguf import GGUFHeader

Kind = Literal["base", "adapter", "artifact", "sentence-transformer"]
# The files that tell the kind of a model; the first one that exists decides.
_MARKERS: dict[str, Kind] = {MANIFEST: "artifact", "modules.json": "sentence-transformer", ADAPTER: "adapter"}

# Settings that no vector depends on: names, versions, and settings of training, generation or output formats.
_NO_MATTER = re.compile(
    r"_.*|(pad|bos|eos|sep)_token_id|architectures|auto_map|chunk_size_feed_forward|(torch_)?dtype|id2label|label2id"
    r"|problem_type|init(ializer)?_\w+|\w*(dropout|pdrop|layerdrop)\w*|output_(attentions|hidden_states|router_logits)"
    r"|return_dict|tie_\w+|transformers_version|use_cache"
)

#: Errors that json, safetensors, transformers and others raise for a file that is cut, empty or of another type.
DAMAGE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError)


@dataclass(frozen=True)
class ModelSource:
    """Describe a model that was found by name: a plain causal LM, a PEFT folder, a saved PromptEOL, or another.

    ``files`` say how to reach its files: ``revision``, ``token``, ``cache_folder``, ``local_files_only``; ``name`` is a
    GGUF file's folder or repository.
    """

    name: str
    kind: Kind
    files: Mapping[str, Any]
    gguf_file: str | None = None

    @property
    def hub_kwargs(self) -> dict[str, Any]:
        """The arguments, in transformers' names, to reach its files."""
        kwargs = dict(self.files)
        return {"cache_dir": kwargs.pop("cache_folder", None), **kwargs}

    @property
    def loading_kwargs(self) -> dict[str, Any]:
        """The arguments for every ``from_pretrained`` that reads one of its files."""
        return {**self.hub_kwargs, "gguf_file": self.gguf_file} if self.gguf_file else self.hub_kwargs

    @property
    def weights_kwargs(self) -> dict[str, Any]:
        """The arguments for ``from_pretrained`` to read its weights; those of a GGUF file are dequantized."""
        return {**self.loading_kwargs, **dequantizing()} if self.gguf_file else self.loading_kwargs

    @cached_property
    def gguf_header(self) -> GGUFHeader:
        """The header of its GGUF file, fetched if need be; raises ModelNotFoundError where there is none."""
        found = fetch(self.name, str(self.gguf_file), **self.files)
        if found is None:
            raise ModelNotFoundError(f"no file {self.gguf_file!r} at {self.name!r}: look there for its right name")
        return GGUFHeader.read(found)

    def file(self, name: str) -> Path | None:
        """Return the local path of one of its files, downloaded if need be; ``None`` if the file does not exist.

        A GGUF file holds a whole model: the files next to it belong to other models.
        """
        return None if self.gguf_file else fetch(self.name, name, **self.files)


def find_source(name: str | Path, *, gguf_file: str | None = None, **files: Any) -> ModelSource:
    """Find the model at a path or Hub name, or raise ModelNotFoundError; ``gguf_file`` names a file there."""
    name, gguf_file = locate_model(name, gguf_file)
    files = reachable(name, files)
    if gguf_file is not None:
        return ModelSource(name, "base", files, gguf_file)
    kind: Kind = next((kind for file, kind in _MARKERS.items() if ModelSource(name, kind, files).file(file)), "base")
    return ModelSource(name, kind, files)


def backbone_of(source: ModelSource) -> ModelSource:
    """Return where the full weights lie: the base model of an adapter, else the source itself."""
    adapter = source.file(ADAPTER)
    if adapter is None or source.file("config.json") is not None:
        return source
    with reading(source.name):
        base = dict(json.loads(adapter.read_text(encoding="utf-8"))).get("base_model_name_or_path")
    if not base:
        raise ModelError(f"adapter {source.name!r} names no base model: write base_model_name_or_path into {adapter}")
    return find_source(base, **{key: value for key, value in source.files.items() if key != "revision"})


def check_causal(source: ModelSource, *, trust_remote_code: bool = False) -> PretrainedConfig:
    """Return the configuration of a causal language model; ModelError says why it is none."""
    if source.gguf_file is None and source.file("config.json") is None:
        raise ModelNotFoundError(
            f"no config.json at {source.name!r}: give the folder of a model, or a Hub name such as 'facebook/opt-1.3b' "
            f"(the Hub is {HfApi().endpoint}, unless HF_HUB_OFFLINE is set); a repository of GGUF files needs "
            "gguf_file=..."
        )
    file = source.gguf_file or "config.json"
    try:
        config = AutoConfig.from_pretrained(source.name, trust_remote_code=trust_remote_code, **source.loading_kwargs)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise_unanswered(source.name, error)
        message = " ".join(str(error).split())[:300]
        raise ModelError(f"{file} of {source.name!r} cannot be read as a model's: {message}") from error
    reason = _why_not_causal(config)
    if reason:
        raise ModelError(
            f"{source.name!r} is no causal language model: {reason}. PromptEOL reads the state from which the next "
            "word is predicted, so it needs a decoder-only model such as OPT, Llama, GPT-2 or Qwen"
        )
    return config  # type: ignore[no-any-return]


def vector_settings(config: Any) -> Any:
    """Return the settings of a configuration, or a part of one, that vectors may depend on, ready for JSON."""
    if isinstance(config, PretrainedConfig):
        config = config.to_dict()
    if isinstance(config, Mapping):
        kept = {str(name): vector_settings(value) for name, value in config.items()}
        return {name: value for name, value in kept.items() if not _NO_MATTER.fullmatch(name)}
    return [vector_settings(part) for part in config] if isinstance(config, (list, tuple)) else config


@contextmanager
def reading(name: str, given: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Raise ModelError, naming the model whose files cannot be read, or what is ``given`` and at fault."""
    try:
        with initialized_weights() as missing:
            yield
        if missing:
            raise ModelError(
                f"{name!r} lacks weights of its architecture, which would be random: {', '.join(missing[:3])}; copy "
                "or save the model anew"
            )
    except (PromptEOLError, torch.OutOfMemoryError, ImportError):
        raise
    except DAMAGE as error:
        raise_unanswered(name, error)
        reason = f"({type(error).__name__}: {' '.join(str(error).split())[:300]})"
        for key, value in (given or {}).items():
            if key in reason:
                raise ModelError(f"{name!r} cannot be loaded with {key}={value!r} {reason}") from error
        raise ModelError(
            f"{name!r} cannot be read, so a file of it is damaged or missing {reason}; copy or save the model anew"
        ) from error


def _why_not_causal(config: PretrainedConfig) -> str | None:
    kind = config.model_type
    causal, masked = language_model_types()
    architecture = (config.architectures or [""])[0]
    if config.is_encoder_decoder:
        return f"{kind} is an encoder-decoder"
    both_ways = getattr(config, "is_causal", True) is False or getattr(config, "attn_type", "uni") == "bi"
    if both_ways or getattr(config, "use_bidirectional_attention", False) is True:
        return f"this {kind} attends in both directions"
    decodes = getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    causal_name = architecture.endswith(("ForCausalLM", "LMHeadModel"))
    # The class names of these end in LMHeadModel too, in whichever direction they attend.
    if kind in masked and not (decodes and causal_name):
        return f"{architecture or kind} is an encoder"
    if causal_name:
        return None
    if kind not in causal and "AutoModelForCausalLM" not in getattr(config, "auto_map", {}):
        return f"transformers knows no causal LM of type {kind!r}"
    if architecture and not architecture.endswith("Model"):
        return f"its architecture is {architecture}"
    return None
