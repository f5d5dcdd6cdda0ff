"""Load the stock parts of a model that was saved with a module of this package.

Stock loaders refuse such a module without ``trust_remote_code``, which would also let the repository's own code run.
"""

from __future__ import annotations

import json
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import import_from_string, load_file_path
from torch import nn

from prompteol.errors import ArtifactError

__all__ = ["load_stock_parts"]

_STOCK = "sentence_transformers."


def load_stock_parts(name: str, *, device: str | None, **options: Any) -> SentenceTransformer:
    """Return transformer and pooling in place of this package's module, and what follows it.

    Args:
        name: folder or Hub name.
        device: where the model will run.
        options: as for ``SentenceTransformer``.

    Raises:
        ArtifactError: a module is neither of sentence-transformers nor of this package.
    """
    files = {name: options.get(name) for name in ("token", "cache_folder", "revision", "local_files_only")}
    first, *after = _json(name, "modules.json", files)
    transformer = Transformer.load(name, **options)
    modules: list[nn.Module] = [transformer, Pooling(transformer.get_embedding_dimension(), "lasttoken")]
    for entry in after:
        if not entry["type"].startswith(_STOCK):
            raise ArtifactError(
                f"{name!r} has the module {entry['type']} behind {first['type']}: load it with "
                "SentenceTransformer(..., trust_remote_code=True)"
            )
        modules.append(import_from_string(entry["type"]).load(name, subfolder=entry["path"], **options))  # type: ignore[attr-defined]
    config = _json(name, "config_sentence_transformers.json", files)
    settings = ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim")
    return SentenceTransformer(modules=modules, device=device, **{key: config.get(key) for key in settings})


def _json(name: str, file: str, files: dict[str, Any]) -> Any:
    with open(str(load_file_path(name, file, **files)), encoding="utf-8") as opened:
        return json.load(opened)
