"""Put a PromptEOL model together from a base model, an adapter or a saved model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import import_from_string, load_file_path
from torch import nn

from prompteol.compat import reusing_tokenizer
from prompteol.errors import ArtifactError, ModelError
from prompteol.files.model_folders import ADAPTER, MANIFEST
from prompteol.loading.finding import Found, PromptConfig, embedded_model, find_parts
from prompteol.model import (
    LoadOptions,
    ModelSource,
    backbone_of,
    layer_named,
    load_backbone,
    naming_the_adapter,
    reading,
    resolve_layer,
    set_adapter_weights,
)
from prompteol.model.module import PromptEOLModule
from prompteol.prompts import prompts_for
from prompteol.saving import check_stock_settings, stated
from prompteol.techniques.module import embedding_module
from prompteol.validation import check_prompts


@dataclass
class LoadedModel:
    """Hold the pieces of a loaded model; settings, card and fingerprint are a saved model's own.

    ``revision``, under which evaluations file results, is None where it was loaded in another way than it was saved.
    """

    module: PromptEOLModule
    source: ModelSource
    provenance: dict[str, Any]
    settings: dict[str, Any]
    after: list[nn.Module] = field(default_factory=list)
    card: str | None = None
    fingerprint: str | None = None
    revision: str | None = None

    @property
    def model_name(self) -> str:
        """The name that evaluations file results under: a saved model's own on the Hub, else ``prompteol/...``."""
        folder = Path(self.source.name)
        if self.source.kind == "artifact" and not folder.is_dir():
            return self.source.name
        return f"prompteol/{folder.resolve().name}"

    @property
    def kept_card(self) -> str | None:
        """The card that is saved again where nothing has changed: that of the default is about this package's file."""
        return None if Path(self.source.name) == embedded_model() else self.card

    @property
    def language(self) -> list[str]:
        """The languages that a saved model's card states."""
        found = stated(self.card or "", "language")
        return found.split(", ") if found else []

    @property
    def license(self) -> str | None:
        """The license that a saved model's card or a GGUF file states."""
        return self.source.gguf_header.license if self.source.gguf_file else stated(self.card or "", "license")

    @property
    def base_model(self) -> str | None:
        """The Hub name of the language model below, where it has one that is known without asking the Hub."""
        if self.source.gguf_file:
            return self.source.gguf_header.base_model
        if self.card:
            base = stated(self.card, "base_model")
            return base if base and "," not in base else None
        name = backbone_of(self.source).name
        return None if Path(name).is_dir() else name

    def settings_with(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings, with what the user gave over what a saved model brings."""
        overrides = {name: value for name, value in given.items() if value is not None}
        prompts = {**self.settings["prompts"], **(given.get("prompts") or {})}
        check_prompts(prompts, given.get("default_prompt_name"))
        return {**self.settings, **overrides, "prompts": prompts}

    def revision_with(self, given: Mapping[str, Any]) -> str | None:
        """Return the revision, or None where what the user gave makes other vectors or scores than the saved model."""
        return self.revision if self.settings_with(given) == self.settings_with({}) else None


def load_model(
    name: str | Path | None,
    request: PromptConfig,
    options: LoadOptions,
    *,
    device: str,
    gguf_file: str | None = None,
    **files: Any,
) -> LoadedModel:
    """Find a model, check all that can be checked without its weights, then load it.

    ``name`` is a folder or Hub name, ``None`` the embedded default; ``gguf_file`` a file there; ``files`` are
    ``revision``, ``token``, ``cache_folder`` and ``local_files_only``.
    """
    options.check_placement(device)
    found = find_parts(name, request, options, gguf_file=gguf_file, **files)
    source, manifest, layer = found.source, found.manifest, found.layer
    # Any option of transformers' may change the vectors; of the dtype one can see it.
    with_options = bool(options.model.keys() - {"dtype", "torch_dtype"} or options.processor or options.config)
    options = options.with_default_dtype(device)
    if source.kind in ("base", "adapter"):
        with reusing_tokenizer(found.tokenizer, backbone_of(source).name):
            transformer = load_backbone(source, options)
        module = embedding_module(transformer, found.template, found.technique, layer=layer, engine=request.engine)
        return LoadedModel(module, source, found.provenance, {"prompts": prompts_for(found.template, found.saved, {})})
    given = {**options.model, **options.processor, **options.config}
    with reading(source.name, given), naming_the_adapter(source), reusing_tokenizer(found.tokenizer, source.name):
        load = _load_stock_parts if manifest is not None and manifest.technique else SentenceTransformer
        stock = load(
            source.name,
            device=device if "device_map" not in options.model else None,
            trust_remote_code=options.trust_remote_code,
            model_kwargs=dict(options.model) or None,
            processor_kwargs=dict(options.processor) or None,
            config_kwargs=dict(options.config) or None,
            **source.files,
        )
    transformer, pooling, *after = _checked(list(stock), source)
    if source.file(ADAPTER) is not None:
        set_adapter_weights(source, transformer.model)
    if request.template is None:
        check_stock_settings(transformer, pooling, source)
    if request.layer is None:
        layer = _layer_read(transformer, found)
    same_vectors = request.as_saved and not with_options and transformer.model.dtype == found.config.dtype
    card = source.file("README.md") if manifest else None
    return LoadedModel(
        embedding_module(transformer, found.template, found.technique, layer=layer, engine=request.engine),
        source,
        found.provenance,
        {
            "prompts": prompts_for(found.template, found.saved, stock.prompts),
            **{name: getattr(stock, name) for name in ("default_prompt_name", "similarity_fn_name", "truncate_dim")},
        },
        after,
        card=card.read_text(encoding="utf-8", errors="replace") if card else None,
        fingerprint=manifest.fingerprint if manifest else None,
        revision=manifest.fingerprint[:12] if manifest and same_vectors else None,
    )


def _load_stock_parts(name: str, *, device: str | None, **options: Any) -> SentenceTransformer:
    """Return transformer and pooling in place of this package's module, and what follows; as SentenceTransformer does.

    That class refuses such a module without ``trust_remote_code``, which would let the repository's own code run too.
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


def _checked(modules: list[Any], source: ModelSource) -> list[Any]:
    if not modules or not isinstance(modules[0], Transformer):
        begins = type(modules[0]).__name__ if modules else "nothing"
        raise ModelError(f"{source.name!r} begins with {begins}, not with a Transformer; see its modules.json")
    if len(modules) < 2 or not isinstance(modules[1], Pooling):
        raise ArtifactError(f"{source.name!r} has no Pooling after its Transformer; found {modules[1:]}")
    if modules[0].transformer_task != "feature-extraction":
        raise ModelError(
            f"{source.name!r} has transformer_task={modules[0].transformer_task!r} in sentence_bert_config.json, which "
            "gives no hidden states: set it to 'feature-extraction'"
        )
    return modules


def _layer_read(transformer: Transformer, found: Found) -> int:
    """Return the layer that the stock module reads, which is the one that a saved model says it has."""
    read, manifest = layer_named(transformer.modality_config), found.manifest
    if manifest is not None and read != resolve_layer(manifest.layer, found.config):
        raise ArtifactError(
            f"{found.source.name!r}: {MANIFEST} says layer {manifest.layer}, and sentence_bert_config.json reads layer "
            f"{read}; pass layer=... to settle it, then save the model"
        )
    return read
