"""Find a model and check all that can be checked without its weights."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoProcessor, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from prompteol.errors import ModelError
from prompteol.extras import check_extra
from prompteol.files.model_folders import ADAPTER, MANIFEST
from prompteol.model import (
    LoadOptions,
    ModelSource,
    backbone_of,
    check_causal,
    find_source,
    resolve_layer,
)
from prompteol.model.module import Engine
from prompteol.prompts import TEMPLATES, DemonstrationsLike, NormalizationMode, Template, TemplateLike, choose_prompt
from prompteol.saving import EXPORTED, UNFINISHED, Manifest, check_truncation
from prompteol.techniques import ForwardTechnique
from prompteol.techniques.registry import describe_technique, from_record
from prompteol.tokenization import PromptTokenizer, recover_template


@dataclass(frozen=True)
class PromptConfig:
    """Hold what a user asks of prompt, layer and engine; ``None`` is the saved model's own, or the default.

    A technique of ``()`` is none, whatever the saved model has.
    """

    template: TemplateLike | None = None
    demonstrations: DemonstrationsLike | None = None
    layer: int | float | None = None
    engine: Engine = "auto"
    normalization: NormalizationMode | None = None
    technique: ForwardTechnique | tuple[()] | None = None

    @property
    def as_saved(self) -> bool:
        """Whether nothing but the engine was given."""
        return self == PromptConfig(engine=self.engine)


class Found(NamedTuple):
    """Hold what is known of a model before its weights are read; ``saved`` is the template it was saved with."""

    source: ModelSource
    manifest: Manifest | None
    saved: Template
    template: Template
    provenance: dict[str, Any]
    layer: int | float
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    technique: ForwardTechnique | None


def embedded_model() -> Path:
    """Return the folder of the small default model that ships with the package."""
    return Path(__file__).parents[1] / "nano"


def find_parts(
    name: str | Path | None,
    request: PromptConfig,
    options: LoadOptions,
    *,
    gguf_file: str | None = None,
    **files: Any,
) -> Found:
    """Find a model and check all that can be checked without its weights; the arguments are ``load_model``'s.

    Raises ModelError, TemplateError, ArtifactError where files of a saved model contradict each other, and
    MissingExtraError or IncompatibleVersionError where there is an adapter and no peft that fits.
    """
    source = find_source(embedded_model() if name is None else name, gguf_file=gguf_file, **files)
    header = source.gguf_header if source.gguf_file else None
    if header is not None:
        check_extra("gguf", "gguf", "accelerate")
    if source.file(ADAPTER) is not None:
        check_extra("adapters", "peft")
    manifest_file = source.file(MANIFEST)
    manifest = Manifest.read(manifest_file) if manifest_file else None
    foreign = source.kind == "sentence-transformer"
    if foreign and request.template is None and source.file(UNFINISHED) is not None:
        raise ModelError(
            f"{source.name!r} is no PromptEOL artifact: a save into it was broken off ({UNFINISHED}); save it again"
        )
    if foreign and source.file(EXPORTED) is not None:
        raise ModelError(
            f"{source.name!r} is an export for servers, whose tokenizer writes the prompt, which would then stand "
            "there twice: load the model that it was made of, or this one with SentenceTransformer"
        )
    layer = request.layer if request.layer is not None else manifest.layer if manifest else -1
    backbone = backbone_of(source)
    config = check_causal(backbone, trust_remote_code=options.trust_remote_code)
    resolve_layer(layer, config)
    tokenizer = _tokenizer(backbone if source.kind == "adapter" else source, options)
    if backbone.gguf_file:
        tokenizer = _as_read_back(tokenizer, config)
    if manifest is not None and request.template is None:
        manifest.check(tokenizer)
    own = manifest.template if manifest is not None else recover_template(tokenizer) if foreign else None
    if own is None and foreign and request.template is None:
        raise _lost(source, tokenizer)
    if own is None:
        own, how = TEMPLATES["prompteol"], {"template": "prompteol, the default"}
    else:
        how = {"template": "read from the chat template"} if manifest is None else dict(manifest.provenance)
    if (foreign or manifest is not None) and request.template is None:
        check_truncation(tokenizer)
    template, provenance = choose_prompt(
        own, how, template=request.template, demonstrations=request.demonstrations, normalization=request.normalization
    )
    if header is not None:
        provenance["weights"] = header.describe()
    if request.layer is not None:
        provenance["layer"] = "given"
    chat_template = tokenizer.chat_template
    prompter = PromptTokenizer(tokenizer, template)
    # The stock module that gets this tokenizer looks at the chat template that came with it.
    tokenizer.chat_template = chat_template
    if manifest is not None and request.as_saved:
        manifest.check_start(prompter.bos, prompter.bos_separator, source.name)
    technique = request.technique or None
    if request.technique is None and manifest is not None and manifest.technique is not None:
        technique = from_record(manifest.technique)
    provenance.pop("technique", None)
    if technique is not None:
        provenance["technique"] = describe_technique(technique)
    return Found(source, manifest, own, template, provenance, layer, config, tokenizer, technique)


def _lost(source: ModelSource, tokenizer: PreTrainedTokenizerBase) -> ModelError:
    """Return the error of a model that a stock loader saved, without the manifest and with another chat template."""
    other = tokenizer.chat_template
    lost = "its chat template is not PromptEOL's" if other else "its tokenizer has no chat template"
    return ModelError(
        f"{source.name!r} is a sentence-transformers model without {MANIFEST}, so no PromptEOL artifact, and "
        f"{lost}: which prompt and demonstrations it wants is not written down. Pass template=..., such as "
        'template="prompteol", and demonstrations=..., or load it with SentenceTransformer'
    )


def _as_read_back(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> PreTrainedTokenizerBase:
    """Return what transformers makes of a GGUF file's tokenizer once it is saved, such as Qwen's with its NFC.

    From the file it has vocabulary and merges alone; the rest it adds by the architecture where it reads it back.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        config.save_pretrained(folder)
        read: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    read.name_or_path = tokenizer.name_or_path
    return read


def _tokenizer(source: ModelSource, options: LoadOptions) -> PreTrainedTokenizerBase:
    """Read a tokenizer as the stock ``Transformer`` module does, which then gets this one."""
    try:
        tokenizer = AutoProcessor.from_pretrained(source.name, **{**options.files_of(source), **options.processor})
    # What a damaged file makes of it, tokenizers' own error among it, which has no class.
    except Exception as error:
        # transformers hides what it comes from; of a Hub that does not answer this says so.
        for file in ("tokenizer_config.json", "tokenizer.json", "tokenizer.model"):
            source.file(file)
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"the tokenizer of {source.name!r} cannot be read; are its files there? {reason}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError(f"{type(tokenizer).__name__} is no tokenizer: PromptEOL embeds text, give a text-only model")
    limit = tokenizer.model_max_length
    if not isinstance(limit, (int, float)) or limit < 1:
        raise ModelError(
            f"the tokenizer of {source.name!r} has model_max_length={limit!r}, which is no number of tokens: set a "
            'whole number above 0, or pass processor_kwargs={"model_max_length": 512}'
        )
    return tokenizer
