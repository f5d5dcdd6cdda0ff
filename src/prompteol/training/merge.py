"""Merge a LoRA adapter into its base and verify the embeddings."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from numpy.typing import NDArray

from prompteol.demonstrations import default_demonstrations
from prompteol.errors import ModelError
from prompteol.extras import check_extra
from prompteol.files.model_folders import ADAPTER
from prompteol.model import find_source, has_adapter, merged_backbone
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.result import base_license

# The tolerance in fp32, relative to the largest entry.
_EQUAL = 1e-4


@dataclass(frozen=True)
class Merged:
    """Hold a merged model in fp32, and the largest difference of its vectors, as a share of the largest entry.

    ``from_parts`` is that to base plus adapter, ``from_base`` that to the base alone.
    """

    model: PromptEOL
    from_parts: float
    from_base: float


def merge(
    adapter: str | Path,
    *,
    base: str | Path | None = None,
    texts: Sequence[str] | None = None,
    device: str | None = None,
    **options: Any,
) -> Merged:
    """Add an adapter to the weights of its base, which is read in full precision, never in the bits it was trained in.

    The vectors of real texts are compared: merged against base plus adapter, and merged against base.

    Args:
        adapter: a LoRA adapter, folder or Hub name.
        base: where its base lies, if not where the adapter says.
        texts: to compare on; by default 124 sentences that ship with the package.
        device: as for ``PromptEOL``.
        options: further ones for ``PromptEOL``, such as ``template`` or ``revision``.

    Returns:
        The merged model, not saved yet.

    Raises:
        ModelError: there is no adapter, it does not fit its base, or it changes nothing.
    """
    check_extra("adapters", "peft")
    texts = list(texts or (one.sentence for one in default_demonstrations()))
    # How files of the Hub are reached, the base's as the adapter's.
    reaching = ("token", "cache_folder", "local_files_only")
    files: dict[str, Any] = {name: options[name] for name in reaching if name in options}
    with _on_base(adapter, base, files | {"revision": options.get("revision")}) as folder:
        adapted = PromptEOL(folder, device=device, model_kwargs={"dtype": torch.float32}, **options)
    if not has_adapter(adapted.module):
        raise _no_adapter(adapter)
    expected = adapted.encode(texts, show_progress_bar=False)
    merged = _fresh_base(adapted, device, {**files, "trust_remote_code": options.get("trust_remote_code", False)})
    of_base = merged.encode(texts, show_progress_bar=False)
    _load_merged(adapted, merged, str(adapter))
    vectors = merged.encode(texts, show_progress_bar=False)
    from_parts, from_base = _difference(vectors, expected), _difference(vectors, of_base)
    if from_parts > _EQUAL:
        differ = f"they differ by {from_parts:.1e} of the largest entry, {_EQUAL:.0e} was expected"
        raise ModelError(f"merged, {str(adapter)!r} gives other vectors than base plus adapter: {differ}")
    if from_base <= _EQUAL:
        differ = f"merged and base differ by {from_base:.1e} of the largest entry; was it trained?"
        raise ModelError(f"{str(adapter)!r} changes nothing: {differ}")
    return Merged(merged, from_parts, from_base)


def _no_adapter(name: str | Path) -> ModelError:
    return ModelError(f"{str(name)!r} is no adapter: it has no {ADAPTER}; there is nothing to merge")


@contextmanager
def _on_base(adapter: str | Path, base: str | Path | None, files: Mapping[str, Any]) -> Iterator[str]:
    """Yield a copy of the adapter that names another base, or the adapter itself."""
    if base is None:
        yield str(adapter)
        return
    source = find_source(adapter, **files)
    config = source.file(ADAPTER)
    if config is None:
        raise _no_adapter(adapter)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(source.name)
        found = found if found.is_dir() else Path(snapshot_download(source.name, **source.hub_kwargs))
        copy = Path(folder) / found.name
        shutil.copytree(found, copy, ignore=shutil.ignore_patterns("checkpoints", "teacher*.safetensors"))
        record = json.loads(config.read_text(encoding="utf-8"))
        (copy / ADAPTER).write_text(json.dumps({**record, "base_model_name_or_path": str(base)}), encoding="utf-8")
        yield str(copy)


def _fresh_base(adapted: PromptEOL, device: str | None, files: Mapping[str, Any]) -> PromptEOL:
    """Load the base again without the adapter, and give it the adapter's prompt and later modules."""
    name = str(adapted.module.config.name_or_path)
    model = PromptEOL(
        name,
        template=adapted.template,
        layer=adapted.layer,
        device=device,
        model_kwargs={"dtype": torch.float32},
        prompts={name: prompt or "" for name, prompt in adapted.prompts.items()},
        default_prompt_name=adapted.default_prompt_name,
        similarity_fn_name=adapted.similarity_fn_name,
        truncate_dim=adapted.truncate_dim,
        **files,
    )
    while len(model) > 1:
        del model[-1]
    for module in list(adapted.children())[1:]:
        model.append(module)
    model.training_notes = adapted.training_notes
    model.model_card_data.base_model = model.model_card_data.base_model or adapted.model_card_data.base_model
    model.model_card_data.license = base_license(name) or adapted.model_card_data.license
    model.provenance = {
        **adapted.provenance,
        "weights": f"{adapted.provenance.get('weights', 'an adapter')}, merged with {name}",
    }
    return model


def _load_merged(adapted: PromptEOL, merged: PromptEOL, adapter: str) -> None:
    whole, bare = merged_backbone(adapted.module.transformer.model), merged.module.transformer.model
    rows, before = (next(part.get_input_embeddings().parameters()).shape[0] for part in (whole, bare))
    if rows != before:
        # The adapter was trained with more tokens than its base has.
        bare.resize_token_embeddings(rows, mean_resizing=False)
        merged.module.transformer.processor = adapted.tokenizer
        merged.set_template(adapted.template)
    try:
        bare.load_state_dict(whole.state_dict())
    except RuntimeError as error:
        reason = f"it changes what layers its base has: {' '.join(str(error).split())[:300]}"
        raise ModelError(f"{adapter!r} cannot be merged, since {reason}; use the adapter as it is") from error


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())
