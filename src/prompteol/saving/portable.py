"""The portable form: a saved model that any sentence-transformers loads, without this package and without a flag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from prompteol.model import MANIFEST
from prompteol.saving.card import prompt_section
from prompteol.saving.manifest import UNFINISHED, Manifest

__all__ = ["save_portable"]

# vLLM and TEI read these booleans and pool wrongly, or refuse, without them.
_OLD_POOLING_KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}

_PLACEHOLDER = "sentence_transformers_model_id"


def save_portable(
    stock: SentenceTransformer,
    path: str | Path,
    manifest: Manifest,
    *,
    card: str | bool = True,
    training_notes: str = "",
    **options: Any,
) -> None:
    """Save a model of stock modules, with what this package knows about it beside them.

    ``prompteol.json`` is written last: a folder that has it is complete.

    Args:
        stock: modules of sentence-transformers only.
        path: folder, made if missing.
        manifest: for ``prompteol.json``.
        card: the text of ``README.md``; ``True`` writes a new one, ``False`` none.
        notes: Markdown that a new card has behind the section on the prompt.
        options: go to ``SentenceTransformer.save``.
    """
    Path(path).mkdir(parents=True, exist_ok=True)
    # Until the manifest takes its place, it tells a save that was broken off from one by a stock loader.
    (Path(path) / UNFINISHED).touch()
    (Path(path) / MANIFEST).unlink(missing_ok=True)
    stock.save(str(path), create_model_card=card is True, **options)
    readme = Path(path) / "README.md"
    if isinstance(card, str):
        # As the stock library fills in the name that a model is pushed under.
        name = stock.model_card_data.model_id
        readme.write_text(card.replace(_PLACEHOLDER, name) if name else card, encoding="utf-8")
    elif card:
        whole = readme.read_text(encoding="utf-8") + "\n" + prompt_section(manifest) + training_notes
        readme.write_text(whole, encoding="utf-8")
    for index, module in enumerate(stock):
        if isinstance(module, Pooling):
            _widen_pooling(Path(path) / f"{index}_Pooling" / "config.json", module)
    manifest.write(path)
    _follow_umask(Path(path))


def _widen_pooling(config_file: Path, pooling: Pooling) -> None:
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config |= {key: mode == pooling.pooling_mode for mode, key in _OLD_POOLING_KEYS.items()}
    config_file.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")


def _follow_umask(folder: Path) -> None:
    """Give weights the permissions of the other files: safetensors writes them for their owner alone."""
    mode = (folder / MANIFEST).stat().st_mode & 0o777
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(mode)
