"""Find a model and check all that can be checked without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoProcessor, PretrainedConfig, PreTrainedTokenizerBase

from prompteol.errors import ModelError
from prompteol.extras import check_extra
from prompteol.loading.parts import PromptConfig
from prompteol.model import (
    ADAPTER,
    MANIFEST,
    LoadOptions,
    ModelSource,
    backbone_of,
    check_causal,
    find_source,
    resolve_layer,
)
from prompteol.prompts import TEMPLATES, PromptTemplate, RetrievalTemplate, choose_prompt
from prompteol.saving import UNFINISHED, Manifest
from prompteol.techniques import ForwardTechnique
from prompteol.techniques.registry import describe_technique, from_record
from prompteol.tokenization import PromptTokenizer, recover_template

__all__ = ["Found", "embedded_model", "find_parts"]


def embedded_model() -> Path:
    """Return the folder of the small default model that ships with the package."""
    return Path(__file__).parents[1] / "nano"


class Found(NamedTuple):
    """Hold what is known of a model before its weights are read."""

    source: ModelSource
    manifest: Manifest | None
    template: PromptTemplate | RetrievalTemplate
    provenance: dict[str, Any]
    layer: int | float
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    technique: ForwardTechnique | None


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
    manifest_file = source.file(MANIFEST)
    manifest = Manifest.read(manifest_file) if manifest_file else None
    _check_finished(source, request)
    layer = request.layer if request.layer is not None else manifest.layer if manifest else -1
    backbone = backbone_of(source)
    config = check_causal(backbone, trust_remote_code=options.trust_remote_code)
    resolve_layer(layer, config)
    tokenizer = _tokenizer(backbone if source.kind == "adapter" else source, options)
    if manifest is not None and request.template is None:
        manifest.check(tokenizer)
    recovered = _recovered(source, request, tokenizer) if manifest is None else None
    template, provenance = _choose(request, manifest, recovered)
    _check_prompt(tokenizer, template, manifest if request == PromptConfig(engine=request.engine) else None, source)
    technique = request.technique or None
    if request.technique is None and manifest is not None and manifest.technique is not None:
        technique = from_record(manifest.technique)
    provenance = {name: how for name, how in provenance.items() if name != "technique"}
    if technique is not None:
        provenance["technique"] = describe_technique(technique)
    return Found(source, manifest, template, provenance, layer, config, tokenizer, technique)


def _check_finished(source: ModelSource, request: PromptConfig) -> None:
    """Refuse a folder that a save was broken off in, unless a template is given."""
    if source.kind == "sentence-transformer" and request.template is None and source.file(UNFINISHED) is not None:
        raise ModelError(
            f"{source.name!r} is no PromptEOL artifact: a save into it was broken off ({UNFINISHED}); save it again"
        )


def _recovered(
    source: ModelSource, request: PromptConfig, tokenizer: PreTrainedTokenizerBase
) -> PromptTemplate | RetrievalTemplate | None:
    """Read the template out of the chat template of a model that a stock loader saved again, which drops the manifest.

    Raises:
        ModelError: the chat template is not this package's own.
    """
    if source.kind != "sentence-transformer" or request.template is not None:
        return None
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
        own, provenance = manifest.template, manifest.provenance
    elif recovered is not None:
        own, provenance = recovered, {"template": "read from the chat template"}
    else:
        own, provenance = TEMPLATES["prompteol"], {"template": "prompteol, the default"}
    template, provenance = choose_prompt(
        own,
        provenance,
        template=request.template,
        demonstrations=request.demonstrations,
        normalization=request.normalization,
    )
    if request.layer is not None:
        provenance["layer"] = "given"
    return template, provenance


def _check_prompt(
    tokenizer: PreTrainedTokenizerBase,
    template: PromptTemplate | RetrievalTemplate,
    manifest: Manifest | None,
    source: ModelSource,
) -> None:
    """Refuse a template that the tokenizer cannot read, and a tokenizer that is not the saved one."""
    chat_template = tokenizer.chat_template
    prompter = PromptTokenizer(tokenizer, template)
    # The stock module that gets this tokenizer looks at the chat template that came with it.
    tokenizer.chat_template = chat_template
    if manifest is not None:
        manifest.check_start(prompter.bos, prompter.bos_separator, source.name)


def _tokenizer(source: ModelSource, options: LoadOptions) -> PreTrainedTokenizerBase:
    """Read a tokenizer as the stock ``Transformer`` module does, which then gets this one."""
    kwargs = {**source.hub_kwargs, "trust_remote_code": options.trust_remote_code, **options.processor}
    try:
        tokenizer = AutoProcessor.from_pretrained(source.name, **kwargs)
    # What a damaged file makes of it, tokenizers' own error among it, which has no class.
    except Exception as error:
        raise ModelError(
            f"the tokenizer of {source.name!r} cannot be read; are its files there? "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError(f"{type(tokenizer).__name__} is no tokenizer: PromptEOL embeds text, give a text-only model")
    return tokenizer
