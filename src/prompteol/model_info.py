"""What a model is and how it asks, from its configuration, its tokenizer and its weights' headers alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import parse_local_safetensors_file_metadata
from huggingface_hub.errors import SafetensorsParsingError
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from prompteol.errors import ModelError
from prompteol.loading import Found, PromptConfig, find_parts
from prompteol.model import LoadOptions, ModelSource, backbone_of, layer_named, resolve_layer

__all__ = ["Overview", "overview"]


class Overview:
    """Describe a model of which no weight was read.

    Args:
        found: what :func:`prompteol.loading.find_parts` found.
        request: what was asked for.
    """

    def __init__(self, found: Found, request: PromptConfig) -> None:
        self.template = found.template
        self.layers = int(found.config.get_text_config().num_hidden_layers)
        settings = _json(found.source, "config_sentence_transformers.json")
        layer = found.layer
        if request.layer is None and found.manifest is None:
            read = _json(found.source, "sentence_bert_config.json").get("modality_config", {})
            layer = layer_named(read)
        self.layer = resolve_layer(layer, found.config)
        with torch.device("meta"):
            backbone: PreTrainedModel = AutoModel.from_config(found.config)
        self.backbone = type(backbone).__name__
        self.parameters = sum(parameter.numel() for parameter in backbone.parameters())
        self.dtype = _dtype(backbone_of(found.source), found.config)
        dimension = _dimension(found, self.layer)
        self.dimension = min(dimension, settings.get("truncate_dim") or dimension)
        positions = getattr(found.config, "max_position_embeddings", None)
        limits = [found.tokenizer.model_max_length, positions if positions != -1 else None]
        self.length_limit = min(limit for limit in limits if limit is not None)
        self.similarity = settings.get("similarity_fn_name") or "cosine"
        as_saved = request == PromptConfig(engine=request.engine)
        #: That of a saved model when it was saved; ``None`` where only the weights would tell.
        self.fingerprint = found.manifest.fingerprint if found.manifest is not None and as_saved else None


def overview(name: str | Path | None, request: PromptConfig, **files: Any) -> Overview:
    """Describe a model without reading its weights; the arguments are those of :func:`prompteol.loading.load_model`.

    Raises:
        ModelError: there is nothing, nothing that can be a backbone, or weights without a whole header.
        TemplateError: the template cannot be used.
        ArtifactError: the files of a saved model contradict each other.
    """
    return Overview(find_parts(name, request, LoadOptions(), **files), request)


def _dtype(source: ModelSource, config: PretrainedConfig) -> str:
    """Return the dtype that most weights are stored in: by the files of a folder, else as the configuration says."""
    counts: Counter[str] = Counter()
    folder = Path(source.name)
    for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
        try:
            counts.update(parse_local_safetensors_file_metadata(file).parameter_count)
        except (SafetensorsParsingError, OSError, ValueError) as error:
            raise ModelError(
                f"the header of {str(file)!r} cannot be read: {str(error).splitlines()[0]:.200}"
            ) from error
    if counts:
        return _NAMES.get(counts.most_common(1)[0][0], counts.most_common(1)[0][0])
    return str(config.dtype or "unknown").removeprefix("torch.")


# As torch calls what headers name.
_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}


def _dimension(found: Found, layer: int) -> int:
    """Return the length of an embedding: the last Dense module's, else the states' of the layer."""
    modules = _json(found.source, "modules.json") or []
    for module in reversed(modules):
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
