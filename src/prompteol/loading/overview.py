"""Describe a model by its configuration, its tokenizer and the headers of its weights, without reading the weights."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import parse_local_safetensors_file_metadata
from huggingface_hub.errors import SafetensorsParsingError
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from prompteol.errors import ModelError
from prompteol.loading.finding import Found, find_parts
from prompteol.loading.parts import PromptConfig
from prompteol.model import LoadOptions, ModelSource, backbone_of, layer_named, resolve_layer
from prompteol.model.module import Engine
from prompteol.prompts import Demonstration, NormalizationMode, PromptTemplate, RetrievalTemplate

__all__ = ["ModelInfo", "model_info"]


class ModelInfo:
    """Describe a model of which no weight was read.

    Args:
        found: what :func:`prompteol.loading.find_parts` found.
        prompt: the prompt and layer to describe, where they are not the model's own.
    """

    def __init__(self, found: Found, prompt: PromptConfig) -> None:
        self.template = found.template
        self.layers = int(found.config.get_text_config().num_hidden_layers)
        settings = _json(found.source, "config_sentence_transformers.json")
        layer = found.layer
        if prompt.layer is None and found.manifest is None:
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
        #: The techniques that texts are embedded by.
        self.technique = "; ".join(
            found.provenance[name] for name in ("technique", "readout") if name in found.provenance
        )
        as_saved = prompt == PromptConfig(engine=prompt.engine)
        #: That of a saved model when it was saved; ``None`` where only the weights would tell.
        self.fingerprint = found.manifest.fingerprint if found.manifest is not None and as_saved else None

    def as_record(self) -> dict[str, Any]:
        """Return everything as JSON has it; a retrieval model has a template for each task."""
        names = ("technique", "layer", "layers", "dimension", "length_limit", "similarity", "fingerprint")
        return {
            "backbone": self.backbone,
            "parameters": self.parameters,
            "dtype": self.dtype,
            **_prompt_record(self.template),
            **{name: getattr(self, name) for name in names},
        }


def _prompt_record(template: PromptTemplate | RetrievalTemplate) -> dict[str, Any]:
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
    template: str | PromptTemplate | RetrievalTemplate | None = None,
    demonstrations: str | Iterable[str | Demonstration | tuple[str, str]] | None = None,
    normalization: NormalizationMode | None = None,
    layer: int | float | None = None,
    engine: Engine = "auto",
    trust_remote_code: bool = False,
    **files: Any,
) -> ModelInfo:
    """Describe a model without reading its weights; the arguments are those of :class:`prompteol.PromptEOL`.

    Args:
        model_name_or_path: folder or Hub name; ``None`` is the model that ships with the package.
        template: in place of the model's own, as are the following.
        demonstrations: shown before the text.
        normalization: of a text before it is put into the template.
        layer: to read.
        engine: is of no effect.
        trust_remote_code: run Python code that the model's repository brings.
        files: ``revision``, ``token``, ``cache_folder`` and ``local_files_only``.

    Raises:
        ModelError: there is nothing, nothing that can be a backbone, or weights without a whole header.
        TemplateError: the template cannot be used.
        ArtifactError: the files of a saved model contradict each other.
    """
    prompt = PromptConfig(template, demonstrations, layer, engine, normalization)
    return ModelInfo(
        find_parts(model_name_or_path, prompt, LoadOptions(trust_remote_code=trust_remote_code), **files), prompt
    )


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
