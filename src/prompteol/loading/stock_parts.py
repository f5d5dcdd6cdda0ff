"""Load the stock parts of a model that was saved with a module of this package.

Stock loaders refuse such a module without ``trust_remote_code``, which would also let the repository's own code run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import import_from_string, load_file_path

from prompteol.errors import ArtifactError


def load_stock_parts(name: str, *, device: str | None, **options: Any) -> SentenceTransformer:
    """Return transformer and pooling in place of this package's module, and what follows; as SentenceTransformer does.

    Raises:
        ArtifactError: what follows is not of sentence-transformers.
    """
    files: dict[str, Any] = {key: options.get(key) for key in ("token", "cache_folder", "revision", "local_files_only")}
    paths = (load_file_path(name, file, **files) for file in ("modules.json", "config_sentence_transformers.json"))
    (_, *after), config = (json.loads(Path(str(path)).read_text(encoding="utf-8")) for path in paths)
    transformer = Transformer.load(name, **options)
    modules: list[Any] = [transformer, Pooling(transformer.get_embedding_dimension(), "lasttoken")]
    for entry in after:
        if not entry["type"].startswith("sentence_transformers."):
            raise ArtifactError(f"{name!r}: its module {entry['type']} is not of sentence-transformers: take it out")
        kind: Any = import_from_string(entry["type"])
        modules.append(kind.load(name, subfolder=entry["path"], **options))
    settings = ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim")
    return SentenceTransformer(modules=modules, device=device, **{key: config.get(key) for key in settings})
