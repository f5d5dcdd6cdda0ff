"""An adapter and its base made one model, and proof that it is both."""

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
from prompteol.model import ADAPTER, find_source, has_adapter, merged_backbone
from prompteol.sentence_transformers import PromptEOL
from prompteol.training.card import base_license

__all__ = ["Merged", "merge"]

# Options of PromptEOL that say how files of the Hub are reached, the base's as the adapter's.
_FILES = ("token", "cache_folder", "local_files_only")
# Of the largest entry, in fp32.
_EQUAL = 1e-4


@dataclass(frozen=True)
class Merged:
    """A merged model, and how far it lies from what it was made of.

    Args:
        model: without an adapter, in fp32.
        from_parts: the largest difference to base plus adapter, as a share of the largest entry.
        from_base: the same to the base alone.
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
        MissingExtraError: peft is not installed.
        IncompatibleVersionError: it is, in a version that transformers excludes.
    """
    check_extra("adapters", "peft")
    texts = list(texts or (one.sentence for one in default_demonstrations()))
    full = {"dtype": torch.float32}
    files = {name: options[name] for name in _FILES if name in options}
    with _on_base(adapter, base, files | {"revision": options.get("revision")}) as folder:
        adapted = PromptEOL(folder, device=device, model_kwargs=full, **options)
    if not has_adapter(adapted.module):
        raise ModelError(f"{str(adapter)!r} is no adapter: it has no {ADAPTER}; there is nothing to merge")
    both = _vectors(adapted, texts)
    merged = _fresh_base(adapted, device, {**files, "trust_remote_code": options.get("trust_remote_code", False)})
    alone = _vectors(merged, texts)
    _load_merged(adapted, merged, str(adapter))
    one = _vectors(merged, texts)
    from_parts, from_base = _difference(one, both), _difference(one, alone)
    if from_parts > _EQUAL:
        raise ModelError(
            f"merged, {str(adapter)!r} gives other vectors than base plus adapter: they differ by {from_parts:.1e} of "
            f"the largest entry, {_EQUAL:.0e} was expected; use the adapter as it is"
        )
    if from_base <= _EQUAL:
        raise ModelError(
            f"{str(adapter)!r} changes nothing: merged and base differ by {from_base:.1e} of the largest entry; was it "
            "trained?"
        )
    return Merged(merged, from_parts, from_base)


@contextmanager
def _on_base(adapter: str | Path, base: str | Path | None, files: Mapping[str, Any]) -> Iterator[str]:
    """Lend a folder in which the adapter names another base."""
    if base is None:
        yield str(adapter)
        return
    source = find_source(adapter, **files)
    config = source.file(ADAPTER)
    if config is None:
        raise ModelError(f"{str(adapter)!r} is no adapter: it has no {ADAPTER}; there is nothing to merge")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(source.name)
        found = found if found.is_dir() else Path(snapshot_download(source.name, **source.hub_kwargs))
        copy = Path(folder) / found.name
        shutil.copytree(found, copy, ignore=shutil.ignore_patterns("checkpoints", "teacher.safetensors"))
        record = json.loads(config.read_text(encoding="utf-8"))
        (copy / ADAPTER).write_text(json.dumps({**record, "base_model_name_or_path": str(base)}), encoding="utf-8")
        yield str(copy)


def _fresh_base(adapted: PromptEOL, device: str | None, files: Mapping[str, Any]) -> PromptEOL:
    """Read the base once more, without the adapter, and put the adapter's prompt and later modules around it."""
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
        raise ModelError(
            f"{adapter!r} cannot be merged, since it changes what layers its base has: "
            f"{' '.join(str(error).split())[:300]}; use the adapter as it is"
        ) from error


def _vectors(model: PromptEOL, texts: Sequence[str]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = model.encode(list(texts), show_progress_bar=False)
    return vectors


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())
