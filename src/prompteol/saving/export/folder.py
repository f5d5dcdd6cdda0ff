"""Write the files of an exported model, so that libraries of both generations and the servers read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prompteol.errors import ExportError
from prompteol.saving.export.prompt import NO_LIMIT
from prompteol.saving.stock_files import old_pooling_keys, open_weights

# sentence-transformers 6 reads these names too.
_OLD_NAMES = "sentence_transformers.models."


def check_modules(modules: Sequence[nn.Module]) -> None:
    """Raise ExportError for a module behind the pooling that servers do not know."""
    for place, module in enumerate(modules, start=1):
        plain = isinstance(module, Dense) and not module.use_residual
        if not plain and not isinstance(module, Normalize):
            raise ExportError(
                f"module {place} is {type(module).__name__}, which servers do not run: export a model with plain "
                "Dense and Normalize alone behind the first module"
            )


def write_model(folder: Path, backbone: PreTrainedModel, modules: Sequence[nn.Module], max_length: int) -> None:
    """Write weights, configuration and ``modules.json``; the tokenizer is written by itself."""
    backbone.save_pretrained(str(folder))
    _edit(folder / "config.json", _for_transformers_4)
    written = [{"idx": 0, "name": "0", "path": "", "type": _OLD_NAMES + "Transformer"}]
    for place, module in enumerate(modules, start=1):
        name = type(module).__name__
        path = folder / f"{place}_{name}"
        path.mkdir()
        save: Any = module.save
        save(str(path))
        written.append({"idx": place, "name": str(place), "path": path.name, "type": _OLD_NAMES + name})
        if isinstance(module, Pooling):
            _edit(path / "config.json", partial(_with_old_keys, module))
        if isinstance(module, Dense):
            _edit(path / "config.json", _without_new_keys)
    _write(folder / "modules.json", written)
    # Older versions hand these to the constructor, and fail at a key that they do not know.
    _write(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    settings: dict[str, Any] = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    _write(folder / "config_sentence_transformers.json", settings)
    open_weights(folder, like="modules.json")


def write_own_tokenizer(folder: Path, own: PreTrainedTokenizerBase) -> None:
    """Write a model's own tokenizer without a chat template, so that transformers 4 reads it too."""
    plain = deepcopy(own)
    plain.chat_template = None
    plain.save_pretrained(str(folder))
    _edit(folder / "tokenizer_config.json", _of_transformers_4)


def length_limit(max_seq_length: int | None, backbone: PreTrainedModel) -> int:
    """Return how many tokens a prompt may have, a number that every server can read."""
    limits = [max_seq_length, getattr(backbone.config.get_text_config(), "max_position_embeddings", None)]
    return min([NO_LIMIT, *(int(limit) for limit in limits if isinstance(limit, (int, float)) and limit > 0)])


def _with_old_keys(pooling: Pooling, config: dict[str, Any]) -> dict[str, Any]:
    # Older versions hand all of these to the constructor, which knows the dimension by its old name alone.
    kept = {name: value for name, value in config.items() if name != "embedding_dimension"}
    return {**kept, "word_embedding_dimension": pooling.get_embedding_dimension(), **old_pooling_keys("lasttoken")}


def _without_new_keys(config: dict[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in ("in_features", "out_features", "bias", "activation_function")}


def _for_transformers_4(config: dict[str, Any]) -> dict[str, Any]:
    """Add the names that transformers 4 and servers look for."""
    added: dict[str, Any] = {"torch_dtype": config.get("dtype")}
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        added["rope_theta"] = rope["rope_theta"]
        if rope.get("rope_type", "default") != "default":
            added["rope_scaling"] = {name: value for name, value in rope.items() if name != "rope_theta"}
    elif isinstance(rope, dict) and "sliding_attention" in rope:
        # Gemma 3 has one frequency for each kind of layer.
        added["rope_theta"] = rope["full_attention"]["rope_theta"]
        added["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    return config | {name: value for name, value in added.items() if value is not None}


def _of_transformers_4(config: dict[str, Any]) -> dict[str, Any]:
    """Name the class as transformers 4 knows it, and leave out what it reads in another form."""
    known = {name: value for name, value in config.items() if name not in ("backend", "is_local")}
    if isinstance(known.get("extra_special_tokens"), list):
        known["additional_special_tokens"] = known.pop("extra_special_tokens")
    if known.get("tokenizer_class") == "TokenizersBackend":
        known["tokenizer_class"] = "PreTrainedTokenizerFast"
    return known


def _edit(path: Path, change: Any) -> None:
    _write(path, change(json.loads(path.read_text(encoding="utf-8"))))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
