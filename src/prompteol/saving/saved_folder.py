"""Save a model so that any sentence-transformers loads it, without this package and without a flag; write its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from prompteol.errors import SettingError
from prompteol.files.model_folders import ADAPTER, MANIFEST
from prompteol.saving.card import folder_name, renamed, write_card
from prompteol.saving.card_sections import CardFacts
from prompteol.saving.manifest import UNFINISHED, Manifest
from prompteol.saving.stock_files import old_pooling_keys, open_weights


def save_portable(
    stock: SentenceTransformer,
    path: str | Path,
    manifest: Manifest,
    *,
    card: str | bool = True,
    training_notes: str = "",
    model_name: str | None = None,
    **options: Any,
) -> None:
    """Save a model of stock modules, with what this package knows about it beside them.

    ``prompteol.json`` is written last: a folder that has it is complete. ``card`` is the text of ``README.md``;
    ``True`` writes a new one, which ``training_notes`` end, ``False`` none. It calls the model by its name on the Hub,
    else by ``model_name``, else by that of the folder. ``options`` go to ``SentenceTransformer.save``.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SettingError(f"{str(path)!r} cannot be a folder, as a file lies there: give another name") from error
    # Until the manifest takes its place, it tells a save that was broken off from one by a stock loader.
    (folder / UNFINISHED).touch()
    # An old adapter here would be put on the new model, and an old whole model would hide a new adapter's base.
    for stale in (MANIFEST, ADAPTER, "adapter_model.safetensors", "adapter_model.bin"):
        (folder / stale).unlink(missing_ok=True)
    stock.save(str(path), create_model_card=card is True, **options)
    if (folder / ADAPTER).exists():
        base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
        if Path(base).resolve() != folder.resolve():
            (folder / "config.json").unlink(missing_ok=True)
    readme = folder / "README.md"
    facts = CardFacts(
        stock.model_card_data.model_id or model_name or folder_name(folder),
        stock.get_embedding_dimension(),
        stock.max_seq_length,
        getattr(getattr(stock.transformers_model, "config", None), "model_type", None),
        adapter=(folder / ADAPTER).exists(),
    )
    if isinstance(card, str):
        readme.write_text(renamed(card, facts), encoding="utf-8")
    elif card:
        text = write_card(readme.read_text(encoding="utf-8"), manifest, facts, training_notes)
        readme.write_text(text, encoding="utf-8")
    for index, module in enumerate(stock):
        if isinstance(module, Pooling):
            file = folder / f"{index}_Pooling" / "config.json"
            config = json.loads(file.read_text(encoding="utf-8"))
            config |= old_pooling_keys(module.pooling_mode)
            file.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    manifest.write(path)
    open_weights(folder, like=MANIFEST)
