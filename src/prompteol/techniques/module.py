"""Embed texts by a forward technique: several prompts or layers of a text combined, or what lies within layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import load_file_path
from torch import Tensor

from prompteol.errors import ArtifactError, ModelError
from prompteol.files.model_folders import MANIFEST
from prompteol.inference.context import UnsupportedError
from prompteol.model.module import Engine, PromptEOLModule
from prompteol.prompts import PromptTask, PromptTemplate, RetrievalTemplate, Template
from prompteol.saving import Manifest
from prompteol.techniques.forward import Forward
from prompteol.techniques.protocol import ForwardTechnique
from prompteol.techniques.registry import describe_technique, from_record
from prompteol.tokenization import PromptTokenizer, TokenRows

_NO_LIMIT = int(1e30)


def embedding_module(
    transformer: Transformer, template: Template, technique: ForwardTechnique | None, **options: Any
) -> PromptEOLModule:
    """Return the first module of a model, with or without a technique."""
    if technique is None:
        return PromptEOLModule(transformer, template, **options)
    return TechniqueModule(transformer, template, technique=technique, **options)


class TechniqueModule(PromptEOLModule):
    """Fill the templates of a technique with each text, and combine the states that it reads.

    The arguments are those of :class:`prompteol.model.module.PromptEOLModule`, and the technique.

    Raises:
        TemplateError: a template of the technique cannot be used with this tokenizer.
        LayerError: a layer that it reads is outside the backbone.
        SettingError: its states do not combine to one vector a text.
    """

    technique: ForwardTechnique

    def __init__(
        self,
        transformer: Transformer,
        template: Template,
        *,
        technique: ForwardTechnique,
        layer: int | float = -1,
        engine: Engine = "auto",
        attention: str = "auto",
    ) -> None:
        super().__init__(transformer, template, layer=layer, engine=engine, attention=attention)
        self.technique = technique
        self._of_tokenizer: PromptTokenizer | None = None
        self._prompters: list[PromptTokenizer] = []
        with torch.inference_mode():
            self._dimension = int(self._try().shape[1])

    def get_embedding_dimension(self) -> int:
        """Return the length of an embedding."""
        return self._dimension

    def forward(self, features: dict[str, Any], engine: Engine | None = None, **_: Any) -> dict[str, Any]:
        """Embed what :meth:`preprocess` returned; ``features`` gets ``sentence_embedding``, (texts, dimension)."""
        rows = features.pop("token_rows", None) or self._unpadded(features["input_ids"], features["attention_mask"])
        features["sentence_embedding"] = self._combined(rows, engine or self.engine)
        return features

    def around(self, transformer: Transformer) -> TechniqueModule:
        """Return this module around another transformer, such as one with its adapter merged."""
        return TechniqueModule(transformer, self.template, technique=self.technique, layer=self.layer)

    @classmethod
    def load(cls, model_name_or_path: str, **options: Any) -> TechniqueModule:  # type: ignore[override]
        """Load it for a plain ``SentenceTransformer``, which asks for ``trust_remote_code=True``."""
        names = ("token", "cache_folder", "revision", "local_files_only")
        files: dict[str, Any] = {name: options.get(name) for name in names}
        manifest = Manifest.read(str(load_file_path(model_name_or_path, MANIFEST, **files)))
        if manifest.technique is None:
            raise ArtifactError(f"{model_name_or_path!r}: {MANIFEST} names no technique: save the model again")
        transformer = Transformer.load(model_name_or_path, **options)
        return cls(transformer, manifest.template, technique=from_record(manifest.technique), layer=manifest.layer)

    def prompt_tokenizers(self) -> list[PromptTokenizer]:
        """Return one for each template, made anew where another tokenizer was set."""
        own = self.prompter
        if self._of_tokenizer is not own:
            templates = _templates(self.technique, self.template)
            self._prompters = [
                own if one == own.template else PromptTokenizer(self.tokenizer, one) for one in templates
            ]
            # Each has written its chat template into the tokenizer: the model's own stays.
            own.settle()
            self._of_tokenizer = own
        return self._prompters

    def _features(
        self, texts: Sequence[str], task: PromptTask | None, prompt: str, max_length: int, engine: Engine | None
    ) -> dict[str, Any]:
        prompters = self.prompt_tokenizers()
        rows = self.technique.tokenize(prompters, texts, task=task, prompt=prompt, max_length=max_length)
        if engine == "auto":
            return {"token_rows": rows}
        # Trainers put columns together and take mini-batches by rows, so a text is one row: its prompts behind each
        # other, and in the mask the number of the prompt that a token is of.
        texts_rows = list(zip(*(one.rows for one in rows), strict=True))
        pad = self.tokenizer.pad_token_id
        features = TokenRows([list(chain.from_iterable(prompts)) for prompts in texts_rows], (), pad).padded()
        numbers = [[number for number, ids in enumerate(prompts, start=1) for _ in ids] for prompts in texts_rows]
        return {**features, "attention_mask": TokenRows(numbers, (), 0).padded()["input_ids"]}

    def _unpadded(self, input_ids: Tensor, attention_mask: Tensor) -> list[TokenRows]:
        """Take apart what ``_features`` has put together."""
        pairs = list(zip(input_ids, attention_mask, strict=True))
        return [
            TokenRows([ids[mask == number].tolist() for ids, mask in pairs], (), 0)
            for number in range(1, int(attention_mask.max()) + 1)
        ]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _combined(self, rows: Sequence[TokenRows], engine: Engine) -> Tensor:
        packed = self._shared_prefix_engine() if engine == "auto" else None
        forward = Forward(self.transformer.model, self.tokenizer, self.layer, packed)
        vectors = self.technique.embed(rows, forward)
        return vectors if forward.dtype is None else vectors.to(forward.dtype)

    def _try(self) -> Tensor:
        """Embed something, so that a technique that does not fit is refused before any text comes."""
        if type(self.technique).embed is ForwardTechnique.embed:
            rows = [TokenRows([[0], [0]], (), 0)] * len(self.prompt_tokenizers())
        else:
            rows = self._features(["one", "other"], None, "", self.max_seq_length or _NO_LIMIT, "auto")["token_rows"]
        try:
            vectors: Tensor = self._combined(rows, "stock")
            return vectors
        except UnsupportedError as error:
            name, backbone = describe_technique(self.technique), type(self.transformer.model).__name__
            raise ModelError(f"{name} does not fit {backbone}: {error}; leave the technique out") from error


def _templates(technique: ForwardTechnique, template: Template) -> list[Template]:
    if isinstance(template, PromptTemplate):
        return list(technique.templates(template))
    pairs = zip(technique.templates(template.query), technique.templates(template.document), strict=True)
    return [RetrievalTemplate(query, document) for query, document in pairs]
