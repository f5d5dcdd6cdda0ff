"""Describe a model by its configuration, its tokenizer and the headers of its weights, without reading the weights."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import parse_local_safetensors_file_metadata
from huggingface_hub.errors import SafetensorsParsingError
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from prompteol.errors import ModelError
from prompteol.loading.finding import Found, PromptConfig, find_parts
from prompteol.model import LoadOptions, ModelSource, backbone_of, layer_named, resolve_layer
from prompteol.model.module import Engine
from prompteol.prompts import DemonstrationsLike, NormalizationMode, RetrievalTemplate, Template, TemplateLike

# As torch calls what headers name.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}


class EmbeddingForm(NamedTuple):
    """Hold what files alone say of embeddings; ``settings`` are those of sentence-transformers."""

    layer: int
    dimension: int
    length_limit: int
    fingerprint: str | None
    settings: dict[str, Any]


def embedding_form(found: Found, prompt: PromptConfig) -> EmbeddingForm:
    """Return layer, dimension, limit of length and fingerprint of a model, for which no backbone is built."""
    layer = found.layer
    if prompt.layer is None and found.manifest is None:
        layer = layer_named(_json(found.source, "sentence_bert_config.json").get("modality_config", {}))
    layer = resolve_layer(layer, found.config)
    settings = _json(found.source, "config_sentence_transformers.json")
    dimension = _dimension(found, layer)
    positions = getattr(found.config, "max_position_embeddings", None)
    limit = found.tokenizer.model_max_length
    return EmbeddingForm(
        layer,
        min(dimension, settings.get("truncate_dim") or dimension),
        limit if positions in (None, -1) else min(limit, positions),
        found.manifest.fingerprint if found.manifest is not None and prompt.as_saved else None,
        settings,
    )


class ModelInfo:
    """Describe a model of which no weight was read."""

    def __init__(self, found: Found, prompt: PromptConfig) -> None:
        source, config = found.source, found.config
        with torch.device("meta"):
            backbone: PreTrainedModel = AutoModel.from_config(config)
        self.backbone = type(backbone).__name__
        self.parameters = sum(parameter.numel() for parameter in backbone.parameters())
        self.dtype = _dtype(backbone_of(source), config)
        self.template = found.template
        told = (found.provenance.get(name) for name in ("technique", "readout"))
        self.technique = "; ".join(filter(None, told)) or "none"
        form = embedding_form(found, prompt)
        self.layer = form.layer
        self.layers = int(config.get_text_config().num_hidden_layers)
        self.dimension = form.dimension
        self.length_limit = form.length_limit
        self.similarity = form.settings.get("similarity_fn_name") or "cosine"
        #: That of a saved model when it was saved; ``None`` where only the weights would tell.
        self.fingerprint = form.fingerprint

    def as_record(self) -> dict[str, Any]:
        """Return everything as JSON has it; a retrieval model has a template for each task."""
        record: dict[str, Any] = {}
        for name, value in vars(self).items():
            record |= _prompt_record(value) if name == "template" else {name: value}
        return record


def _prompt_record(template: Template) -> dict[str, Any]:
    if isinstance(template, RetrievalTemplate):
        return {
            f"{task}_{name}": value
            for task in ("query", "document")
            for name, value in _prompt_record(getattr(template, task)).items()
        }
    return {
        "template": str(template),
        "normalization": template.normalization,
        "demonstrations": [{"sentence": shown.sentence, "word": shown.word} for shown in template.demonstrations],
    }


def model_info(
    model_name_or_path: str | Path | None = None,
    *,
    template: TemplateLike | None = None,
    demonstrations: DemonstrationsLike | None = None,
    normalization: NormalizationMode | None = None,
    layer: int | float | None = None,
    engine: Engine = "auto",
    trust_remote_code: bool = False,
    **files: Any,
) -> ModelInfo:
    """Describe a model without reading its weights; the arguments are those of :class:`prompteol.PromptEOL`.

    Raises:
        ModelError: there is nothing, nothing that can be a backbone, or weights without a whole header.
        TemplateError: the template cannot be used.
        ArtifactError: the files of a saved model contradict each other.
    """
    prompt = PromptConfig(template, demonstrations, layer, engine, normalization)
    options = LoadOptions(trust_remote_code=trust_remote_code)
    return ModelInfo(find_parts(model_name_or_path, prompt, options, **files), prompt)


def _dtype(source: ModelSource, config: PretrainedConfig) -> str:
    """Return the dtype that most weights are stored in: by the files of a folder, else as the configuration says."""
    if source.gguf_file:
        return _gguf_type(source)
    counts: Counter[str] = Counter()
    folder = Path(source.name)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
        try:
            counts.update(parse_local_safetensors_file_metadata(file).parameter_count)
        except (SafetensorsParsingError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"the header of {str(file)!r} cannot be read: {reason:.200}") from error
    if counts:
        ((most, _),) = counts.most_common(1)
        return _DTYPES.get(most, most)
    return str(config.dtype or "unknown").removeprefix("torch.")


def _gguf_type(source: ModelSource) -> str:
    """Return how a GGUF file is quantized, by the name that llama.cpp gives it, such as Q4_K_M."""
    from gguf import LlamaFileType

    kind: Any = source.gguf_header.metadata.get("general.file_type")
    try:
        return f"GGUF, {LlamaFileType(kind).name.partition('_')[2]}"
    except ValueError:
        return "GGUF, of an unknown type"


def _dimension(found: Found, layer: int) -> int:
    """Return the length of an embedding: the last Dense module's, else the states' of the layer."""
    for module in reversed(_json(found.source, "modules.json") or []):
        features = _json(found.source, f"{module['path']}/config.json").get("out_features") if module["path"] else None
        if features:
            return int(features)
    config = found.config.get_text_config()
    # OPT-350m's last layer is narrower than the others.
    last = getattr(config, "word_embed_proj_dim", None) if layer == -1 else None
    return int(last or config.hidden_size)


def _json(source: ModelSource, name: str) -> Any:
    path = source.file(name)
    return json.loads(path.read_text(encoding="utf-8")) if path else {}
