"""Put a PromptEOL model together from whatever lies at a path: a base model, an adapter, a saved model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from prompteol.errors import ArtifactError, ModelError
from prompteol.extras import check_extra
from prompteol.model import (
    ADAPTER,
    MANIFEST,
    LoadOptions,
    ModelSource,
    backbone_of,
    check_causal,
    check_placement,
    find_source,
    layer_read,
    load_backbone,
    naming_the_adapter,
    reading,
    resolve_layer,
    set_adapter_weights,
)
from prompteol.model.module import Engine, PromptEOLModule
from prompteol.prompts import (
    TEMPLATES,
    Demonstration,
    NormalizationMode,
    PromptTemplate,
    RetrievalTemplate,
    choose_prompt,
    prompts_for,
)
from prompteol.saving import UNFINISHED, Manifest, check_stock_settings, stated_license, training_notes
from prompteol.tokenization import PromptTokenizer, recover_template

__all__ = ["Found", "LoadedModel", "PromptConfig", "embedded_model", "find_parts", "load_model"]


def embedded_model() -> Path:
    """Return the folder of the small default model that ships with the package."""
    return Path(__file__).with_name("nano")


@dataclass(frozen=True)
class PromptConfig:
    """What was asked for of a prompt; ``None`` is the saved model's own, or the default."""

    template: str | PromptTemplate | RetrievalTemplate | None = None
    demonstrations: str | Iterable[str | Demonstration | tuple[str, str]] | None = None
    layer: int | float | None = None
    engine: Engine = "auto"
    normalization: NormalizationMode | None = None


@dataclass
class LoadedModel:
    """The pieces of a model.

    Args:
        module: the first module.
        after: the modules that follow it: Dense, Normalize.
        source: where they came from.
        chosen: how template, demonstrations and layer came to be.
        settings: a saved model's prompts, similarity and dimension.
        card: a saved model's card.
        fingerprint: the one that was saved, for which that card was written.
        notes: that card's section on training, which holds with any prompt.
        license: that card's.
        revision: the first digits of a saved model's fingerprint, which evaluations file results under; None where
            it was loaded in another way than it was saved.
    """

    module: PromptEOLModule
    after: list[nn.Module]
    source: ModelSource
    provenance: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    card: str | None = None
    fingerprint: str | None = None
    training_notes: str = ""
    license: str | None = None
    revision: str | None = None

    @property
    def device(self) -> str:
        """Where the backbone lies."""
        return str(self.module.transformer.model.device)

    @property
    def model_name(self) -> str:
        """The name that evaluations file results under: a saved model's own on the Hub, else ``prompteol/...``."""
        folder = Path(self.source.name)
        if self.source.kind == "artifact" and not folder.is_dir():
            return self.source.name
        return f"prompteol/{folder.resolve().name}"

    def settings_with(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings, with what the user gave over what a saved model brings."""
        prompts = prompts_for(self.module.template, self.settings.get("prompts", {}))
        provenance = {name: value for name, value in given.items() if value is not None}
        return {**self.settings, **provenance, "prompts": {**prompts, **(given.get("prompts") or {})}}

    def revision_with(self, given: Mapping[str, Any]) -> str | None:
        """Return the revision, or None where what the user gave makes other vectors or scores than the saved model."""
        return self.revision if self.settings_with(given) == self.settings_with({}) else None


class Found(NamedTuple):
    """What is known of a model before its weights are read."""

    source: ModelSource
    manifest: Manifest | None
    template: PromptTemplate | RetrievalTemplate
    provenance: dict[str, Any]
    layer: int | float
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase


def find_parts(name: str | Path | None, request: PromptConfig, options: LoadOptions, **files: Any) -> Found:
    """Find a model and check all that can be checked without its weights; the arguments are :func:`load_model`'s.

    Raises:
        ModelError: there is nothing, or nothing that can be a backbone.
        TemplateError: the template cannot be used.
        ArtifactError: the files of a saved model contradict each other.
        MissingExtraError: an adapter, and no peft.
        IncompatibleVersionError: an adapter, and a peft that transformers excludes.
    """
    source = find_source(embedded_model() if name is None else name, **files)
    if source.file(ADAPTER) is not None:
        check_extra("adapters", "peft")
    manifest = _manifest(source, request, options)
    recovered = _recovered(source, request, options) if manifest is None else None
    template, provenance = _choose(request, manifest, recovered)
    layer = request.layer if request.layer is not None else manifest.layer if manifest else -1
    config, prompter = _check_without_weights(source, template, layer, options)
    if manifest is not None and request == PromptConfig(engine=request.engine):
        manifest.check_start(prompter.bos, prompter.bos_separator, source.name)
    return Found(source, manifest, template, provenance, layer, config, prompter.tokenizer)


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
    source, manifest, template, provenance, layer, config, _ = find_parts(name, request, options, **files)
    as_saved = request == PromptConfig(engine=request.engine)
    # Any option of transformers' may change the vectors; of the dtype one can see it.
    with_options = bool(options.model.keys() - {"dtype", "torch_dtype"} or options.processor or options.config)
    options.default_dtype(device)
    if source.kind in ("base", "adapter"):
        transformer = load_backbone(source, options)
        return LoadedModel(
            PromptEOLModule(transformer, template, layer=layer, engine=request.engine), [], source, provenance
        )
    with reading(source.name), naming_the_adapter(source):
        stock = SentenceTransformer(
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
        PromptEOLModule(transformer, template, layer=layer, engine=request.engine),
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


def _manifest(source: ModelSource, request: PromptConfig, options: LoadOptions) -> Manifest | None:
    path = source.file(MANIFEST)
    if path is None:
        return None
    manifest = Manifest.read(path)
    if request.template is None:
        manifest.check(_tokenizer(source, options))
    return manifest


def _recovered(
    source: ModelSource, request: PromptConfig, options: LoadOptions
) -> PromptTemplate | RetrievalTemplate | None:
    """Read the template out of the chat template of a model that a stock loader saved again, which drops the manifest.

    Raises:
        ModelError: the chat template is not this package's own.
    """
    if source.kind != "sentence-transformer" or request.template is not None:
        return None
    if source.file(UNFINISHED) is not None:
        raise ModelError(
            f"{source.name!r} is no PromptEOL artifact: a save into it was broken off ({UNFINISHED}); save it again"
        )
    tokenizer = _tokenizer(source, options)
    template = recover_template(tokenizer)
    if template is None:
        lost = (
            "its chat template is not PromptEOL's" if tokenizer.chat_template else "its tokenizer has no chat template"
        )
        raise ModelError(
            f"{source.name!r} is a sentence-transformers model without {MANIFEST}, so no PromptEOL artifact, and "
            f"{lost}: which prompt and demonstrations it wants is not written down. Pass template=..., such as "
            'template="prompteol", and demonstrations=... to put them around it, or load it with SentenceTransformer'
        )
    return template


def _choose(
    request: PromptConfig, manifest: Manifest | None, recovered: PromptTemplate | RetrievalTemplate | None
) -> tuple[PromptTemplate | RetrievalTemplate, dict[str, Any]]:
    if manifest is not None:
        own, told = manifest.template, manifest.provenance
    elif recovered is not None:
        own, told = recovered, {"template": "read from the chat template"}
    else:
        own, told = TEMPLATES["prompteol"], {"template": "prompteol, the default"}
    template, provenance = choose_prompt(
        own,
        told,
        template=request.template,
        demonstrations=request.demonstrations,
        normalization=request.normalization,
    )
    if request.layer is not None:
        provenance["layer"] = "given"
    return template, provenance


def _check_without_weights(
    source: ModelSource, template: PromptTemplate | RetrievalTemplate, layer: int | float, options: LoadOptions
) -> tuple[PretrainedConfig, PromptTokenizer]:
    """Refuse what the configuration and the tokenizer alone give away; return what was read of them."""
    backbone = backbone_of(source)
    config = check_causal(backbone, trust_remote_code=options.trust_remote_code)
    resolve_layer(layer, config)
    return config, PromptTokenizer(_tokenizer(backbone if source.kind == "adapter" else source, options), template)


def _tokenizer(source: ModelSource, options: LoadOptions) -> PreTrainedTokenizerBase:
    kwargs = {**source.hub_kwargs, "trust_remote_code": options.trust_remote_code, **options.processor}
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.name, **kwargs)
    # What a damaged file makes of it, tokenizers' own error among it, which has no class.
    except Exception as error:
        raise ModelError(
            f"the tokenizer of {source.name!r} cannot be read; are its files there? "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    return tokenizer


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
