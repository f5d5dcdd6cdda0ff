"""Put a PromptEOL model together from a base model, an adapter or a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from transformers import PretrainedConfig

from prompteol.compat import reusing_tokenizer
from prompteol.errors import ArtifactError, ModelError
from prompteol.loading.finding import find_parts
from prompteol.loading.parts import LoadedModel, PromptConfig
from prompteol.loading.stock_parts import load_stock_parts
from prompteol.model import (
    ADAPTER,
    MANIFEST,
    LoadOptions,
    ModelSource,
    backbone_of,
    check_placement,
    layer_read,
    load_backbone,
    naming_the_adapter,
    reading,
    resolve_layer,
    set_adapter_weights,
)
from prompteol.saving import Manifest, check_stock_settings, stated_license, training_notes
from prompteol.techniques.module import embedding_module

__all__ = ["load_model"]


def load_model(
    name: str | Path | None, request: PromptConfig, options: LoadOptions, *, device: str, **files: Any
) -> LoadedModel:
    """Find a model, check all that can be checked without its weights, then load it.

    Args:
        name: folder or Hub name; ``None`` is the embedded default.
        request: the prompt and the layer.
        options: for transformers.
        device: where it will run; decides the default dtype.
        files: ``revision``, ``token``, ``cache_folder``, ``local_files_only``.

    Raises:
        ModelError: there is nothing, or nothing that can be a backbone.
        TemplateError: the template cannot be used.
        ArtifactError: the files of a saved model contradict each other.
    """
    check_placement(device, options.model, options.config)
    found = find_parts(name, request, options, **files)
    source, manifest, template, provenance, layer, config, tokenizer, technique = found
    as_saved = request == PromptConfig(engine=request.engine)
    # Any option of transformers' may change the vectors; of the dtype one can see it.
    with_options = bool(options.model.keys() - {"dtype", "torch_dtype"} or options.processor or options.config)
    options.default_dtype(device)
    if source.kind in ("base", "adapter"):
        with reusing_tokenizer(tokenizer, backbone_of(source).name):
            transformer = load_backbone(source, options)
        module = embedding_module(transformer, template, technique, layer=layer, engine=request.engine)
        return LoadedModel(module, [], source, provenance)
    with reading(source.name), naming_the_adapter(source), reusing_tokenizer(tokenizer, source.name):
        load = load_stock_parts if manifest is not None and manifest.technique else SentenceTransformer
        stock = load(
            source.name,
            device=device if "device_map" not in options.model else None,
            trust_remote_code=options.trust_remote_code,
            model_kwargs=options.model or None,
            processor_kwargs=options.processor or None,
            config_kwargs=options.config or None,
            **files,
        )
    transformer, after = _split(stock, source)
    if source.file(ADAPTER) is not None:
        set_adapter_weights(source, transformer.model)
    if request.template is None:
        check_stock_settings(transformer, stock[1], source)  # type: ignore[arg-type]
    if request.layer is None:
        layer = _layer_read(transformer, config, manifest, source)
    same_vectors = as_saved and not with_options and transformer.model.dtype == config.dtype
    card = _card(source)
    return LoadedModel(
        embedding_module(transformer, template, technique, layer=layer, engine=request.engine),
        after,
        source,
        provenance,
        settings={
            "prompts": dict(stock.prompts),
            "default_prompt_name": stock.default_prompt_name,
            "similarity_fn_name": stock.similarity_fn_name,
            "truncate_dim": stock.truncate_dim,
        },
        card=card,
        fingerprint=manifest.fingerprint if manifest else None,
        training_notes=training_notes(card or ""),
        license=stated_license(card or ""),
        revision=manifest.fingerprint[:12] if manifest and same_vectors else None,
    )


def _split(stock: SentenceTransformer, source: ModelSource) -> tuple[Transformer, list[nn.Module]]:
    modules = list(stock)
    if not modules or not isinstance(modules[0], Transformer):
        begins = type(modules[0]).__name__ if modules else "nothing"
        raise ModelError(f"{source.name!r} begins with {begins}, not with a Transformer; see its modules.json")
    if len(modules) < 2 or not isinstance(modules[1], Pooling):
        raise ArtifactError(f"{source.name!r} has no Pooling after its Transformer; found {modules[1:]}")
    return modules[0], modules[2:]


def _layer_read(
    transformer: Transformer, config: PretrainedConfig, manifest: Manifest | None, source: ModelSource
) -> int:
    """Return the layer that the stock module reads, which is the one that a saved model says it has."""
    read = layer_read(transformer)
    if manifest is not None and read != resolve_layer(manifest.layer, config):
        raise ArtifactError(
            f"{source.name!r}: {MANIFEST} says layer {manifest.layer}, and sentence_bert_config.json reads layer "
            f"{read}; pass layer=... to settle it, then save the model"
        )
    return read


def _card(source: ModelSource) -> str | None:
    path: Path | None = source.file("README.md") if source.kind == "artifact" else None
    return path.read_text(encoding="utf-8", errors="replace") if path else None
