"""Put a saved PEFT adapter on a backbone, and check that each of its values was loaded."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from prompteol.compat import PEFT_PREFIX, renames_weights
from prompteol.errors import ModelError, PromptEOLError
from prompteol.files.model_folders import ADAPTER
from prompteol.model.adapter_state import named_adapter_modules
from prompteol.model.source import DAMAGE, ModelSource, backbone_of

if TYPE_CHECKING:
    from peft import PeftConfig

# Kinds of adapters that do more than change weights, so that a backbone alone cannot have them.
_OUTSIDE = {
    "POLY": "it wants a task id with every text",
    "XLORA": "it mixes adapters by a classifier around the model",
    "SHADOW": "it runs a second model beside the base",
    "ADAPTION_PROMPT": "it needs peft's model around the base",
    "LILY": "what its layers share depends on the modules around the backbone",
    "RANDLORA": "what its layers share depends on the modules around the backbone",
}
_RANDOM = re.compile(r"pissa_niter_\d+|corda|loftq")
# The settings of a configuration that are keyed by names of modules.
_PATTERNS = ("rank_pattern", "alpha_pattern", "trainable_token_indices")


def put_adapter(source: ModelSource, backbone: PreTrainedModel) -> None:
    """Read an adapter and put it on its base, as peft does on the causal LM; raise ModelError if it does not fit."""
    from peft import PEFT_TYPE_TO_TUNER_MAPPING, PeftConfig, get_peft_model

    with naming_the_adapter(source):
        config: Any = PeftConfig.from_pretrained(source.name, **source.hub_kwargs)
        _check_kind(source, config)
        weights = _weights(source, backbone)
        _grow_vocabulary(backbone, weights)
        config, places = _for_backbone(config, backbone)
        config.inference_mode = True
        holder: nn.Module = backbone
        if renames_weights(backbone.config.model_type):
            info = backbone.load_adapter(peft_config=config, adapter_state_dict=weights)
            if info.missing_keys or info.unexpected_keys:
                raise _misfit(source, {*info.missing_keys, *info.unexpected_keys})
            return
        if getattr(PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type], "uses_shared_state", False):
            # What its layers share lies in peft's model around the backbone.
            config.task_type = None
            holder = get_peft_model(backbone, config)
        else:
            backbone.add_adapter(config)
    taken = {name for name, _ in named_adapter_modules(backbone)}
    if places is not None and taken != places:
        raise ModelError(
            f"adapter {source.name!r} names modules by their whole path in the language model, and the backbone has "
            f"others of that name, {min(taken ^ places)!r} the first: load it merged (peft's merge_and_unload)"
        )
    _set_weights(source, holder, weights)
    for _, part in named_adapter_modules(backbone):
        part.requires_grad_(False)
    backbone.eval()


def set_adapter_weights(source: ModelSource, backbone: PreTrainedModel) -> None:
    """Set the saved weights of an adapter that a stock loader has placed; raise ModelError if one is lost.

    transformers only logs weights that it has no place for. Where it renames weights, they are not compared.
    """
    if not renames_weights(backbone.config.model_type):
        _set_weights(source, backbone, _weights(source, backbone))


def _set_weights(source: ModelSource, holder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    prefix = "" if isinstance(holder, PeftModel) else PEFT_PREFIX
    # With a larger vocabulary peft saves trained embeddings a second time, under the name of their wrapper.
    saved = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if ".modules_to_save." not in key or key.replace(".modules_to_save.", ".") not in weights
    }
    with naming_the_adapter(source):
        try:
            set_peft_model_state_dict(holder, saved)
        except KeyError as error:
            raise _misfit(source, {str(error.args[0])}) from error
        arrived = get_peft_model_state_dict(holder, save_embedding_layers=False)
    # Embeddings with an adapter are saved whole beside it.
    whole = holder.state_dict()
    unknown = (arrived.keys() - saved.keys()) | (saved.keys() - arrived.keys() - whole.keys())
    if unknown:
        raise _misfit(source, unknown)
    for key, value in saved.items():
        here = arrived[key] if key in arrived else whole[key]
        quantized = not here.is_floating_point() and here.dtype != torch.bool
        if not quantized and not torch.equal(value.to(here), here):
            raise ModelError(
                f"adapter {source.name!r}: {key!r} has not been read back as it was saved; merge it into "
                f"{backbone_of(source).name!r} where it was trained (peft's merge_and_unload), and load the result"
            )


@contextmanager
def naming_the_adapter(source: ModelSource) -> Iterator[None]:
    """Raise ModelError where an adapter does not fit its base, by its weights' sizes or the layers it changes."""
    try:
        yield
    except (*DAMAGE, ImportError) as error:
        if isinstance(error, (PromptEOLError, torch.OutOfMemoryError)) or source.file(ADAPTER) is None:
            raise
        reason = " ".join(str(error).split())
        other = "; was it trained on another model?" if re.search(r"size|shape|not found|mismatch", reason) else ":"
        raise ModelError(
            f"adapter {source.name!r} does not fit its base {backbone_of(source).name!r}{other} {reason}"
        ) from error


def _check_kind(source: ModelSource, config: PeftConfig) -> None:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    init = getattr(config, "init_lora_weights", None)
    reason = _OUTSIDE.get(kind)
    if config.is_prompt_learning:
        reason = "it puts learned vectors in front of every prompt, where PromptEOL's own must stand"
    if isinstance(init, str) and _RANDOM.fullmatch(init):
        reason = (
            f"init_lora_weights={init!r} changed its base in a way that no file of it tells; save it with "
            "path_initial_model_for_weight_conversion, which makes plain LoRA of it"
        )
    if reason:
        raise ModelError(f"adapter {source.name!r} of kind {kind} cannot be put on a backbone: {reason}")


def _misfit(source: ModelSource, wrong: Iterable[str]) -> ModelError:
    names = sorted(wrong)
    return ModelError(
        f"adapter {source.name!r} does not fit its base {backbone_of(source).name!r}: {len(names)} weights are "
        f"missing or unknown, {names[0]!r} the first; was it trained on another model?"
    )


def _for_backbone(config: PeftConfig, backbone: PreTrainedModel) -> tuple[PeftConfig, set[str] | None]:
    """Return a configuration of a causal LM's adapter for the backbone alone, and the modules it must reach, or None.

    peft itself finds the modules, on a causal LM without weights.
    """
    outer = f"{backbone.base_model_prefix}."
    if not _needs_the_language_model(config, outer):
        return config, None
    from peft import get_peft_model

    with torch.device("meta"):
        language_model = AutoModelForCausalLM.from_config(backbone.config)
    probe = copy.deepcopy(config)
    if hasattr(probe, "init_lora_weights"):
        probe.init_lora_weights = True
    get_peft_model(language_model, probe, low_cpu_mem_usage=True)
    found = {
        name.removeprefix(outer): part for name, part in named_adapter_modules(language_model) if name.startswith(outer)
    }
    if not found:
        raise ModelError("it changes the LM head alone, which embeddings have no use for")
    restated: Any = copy.deepcopy(config)
    wrapped = {name for name, part in found.items() if not hasattr(part, "base_layer")}
    if getattr(config, "modules_to_save", None):
        restated.modules_to_save = sorted(name for name in wrapped if not hasattr(found[name], "token_adapter")) or None
    if getattr(config, "target_modules", None):
        restated.target_modules = sorted(found.keys() - wrapped)
    if isinstance(getattr(config, "feedforward_modules", None), (str, list, set)):
        restated.feedforward_modules = sorted(n for n, p in found.items() if getattr(p, "is_feedforward", False))
    for name in _PATTERNS:
        if isinstance(pattern := getattr(config, name, None), dict):
            setattr(restated, name, {_inner(key, outer): value for key, value in pattern.items()})
    if parameters := getattr(config, "target_parameters", None):
        restated.target_parameters = [_inner(key, outer) for key in parameters]
    for name in ("layers_to_transform", "layers_pattern", "exclude_modules"):
        if hasattr(restated, name):
            setattr(restated, name, None)
    return restated, set(found)


def _needs_the_language_model(config: PeftConfig, outer: str) -> bool:
    """Tell whether a configuration may name modules by where they lie in a causal LM."""
    if getattr(config, "layers_to_transform", None) is not None or getattr(config, "exclude_modules", None):
        return True
    named: list[str] = []
    for field in ("target_modules", "modules_to_save", "feedforward_modules", "target_parameters"):
        value = getattr(config, field, None)
        if isinstance(value, str) and value != "all-linear":
            return True
        named += [] if value is None or isinstance(value, str) else list(value)
    for field in _PATTERNS:
        value = getattr(config, field, None)
        named += list(value) if isinstance(value, dict) else []
    return any(outer in f"{name.lstrip('^').replace(chr(92), '')}." or name == "lm_head" for name in named)


def _inner(name: str, outer: str) -> str:
    return re.sub(rf"^\^?{re.escape(outer[:-1])}\\?\.", "", name)


def _grow_vocabulary(backbone: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Give the backbone as many token embeddings as an adapter of a larger vocabulary was saved with."""
    embeddings = backbone.get_input_embeddings()
    name = next(name for name, part in backbone.named_modules() if part is embeddings)
    saved = weights.get(f"{PEFT_PREFIX}{name}.weight", weights.get(f"{PEFT_PREFIX}{name}.base_layer.weight"))
    rows, width = next(embeddings.parameters()).shape
    if saved is not None and saved.shape[0] > rows and saved.shape[1:] == (width,):
        backbone.resize_token_embeddings(saved.shape[0], mean_resizing=False)


def _weights(source: ModelSource, backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Read an adapter's weights, named as on the backbone alone; those of the LM head are left out."""
    from peft import load_peft_weights

    # From where they lie: peft asks the Hub for them even where they have been fetched.
    file = source.file("adapter_model.safetensors") or source.file("adapter_model.bin")
    if file is None:
        raise ModelError(f"adapter {source.name!r} has no weights: adapter_model.safetensors is missing")
    try:
        weights = load_peft_weights(str(file.parent), device="cpu")
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"the weights of adapter {source.name!r} cannot be read: {reason}; copy them anew") from error
    inner = f"{PEFT_PREFIX}{backbone.base_model_prefix}."
    if not any(key.startswith(inner) for key in weights):
        return dict(weights)
    return {
        PEFT_PREFIX + key.removeprefix(inner) if key.startswith(inner) else key: value
        for key, value in weights.items()
        if key.startswith(inner) or not key.startswith(PEFT_PREFIX)
    }
