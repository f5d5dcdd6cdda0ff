"""Embed texts by a forward technique: several prompts or layers of a text, combined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import load_file_path
from torch import Tensor
from transformers import PreTrainedModel

from prompteol.errors import ArtifactError, ModelError, SettingError
from prompteol.inference.attention import UnsupportedError
from prompteol.inference.layer_edits import LayerEdit, editing
from prompteol.inference.reference_forward import ReferenceForward, input_device
from prompteol.model import MANIFEST
from prompteol.model.module import Engine, PromptEOLModule
from prompteol.prompts import PromptTask, PromptTemplate, RetrievalTemplate
from prompteol.saving import Manifest
from prompteol.techniques.protocol import ForwardTechnique
from prompteol.techniques.registry import describe_technique, from_record
from prompteol.tokenization import PromptTokenizer, TokenRows

__all__ = ["TechniqueModule", "embedding_module"]

Prepared = tuple[TokenRows, LayerEdit | None]


def embedding_module(
    transformer: Transformer,
    template: PromptTemplate | RetrievalTemplate,
    technique: ForwardTechnique | None,
    **options: Any,
) -> PromptEOLModule:
    """Return the first module of a model, with or without a technique."""
    if technique is None:
        return PromptEOLModule(transformer, template, **options)
    return TechniqueModule(transformer, template, technique=technique, **options)


class TechniqueModule(PromptEOLModule):
    """Fill the templates of a technique with each text, and combine the states that it reads.

    Args:
        transformer, template, layer, engine, attention: as for :class:`prompteol.model.module.PromptEOLModule`.
        technique: which templates, which layers, and how their states combine.

    Raises:
        TemplateError: a template of the technique cannot be used with this tokenizer.
        LayerError: a layer that it reads is outside the backbone.
        SettingError: its states do not combine to one vector a text.
    """

    technique: ForwardTechnique

    def __init__(
        self,
        transformer: Transformer,
        template: PromptTemplate | RetrievalTemplate,
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
        self._layers = tuple(technique.layers(self.layer))
        with torch.inference_mode(), _saying_what_does_not_fit(transformer.model, technique):
            features = self._features(["one", "other"], None, "", self.max_seq_length or 2**31, "stock")
            self._dimension = self._combined(features["token_rows"], "stock").shape[1]

    def get_embedding_dimension(self) -> int:
        """Return the length of an embedding."""
        return self._dimension

    def forward(self, features: dict[str, Any], engine: Engine | None = None, **_: Any) -> dict[str, Any]:
        """Embed what :meth:`preprocess` returned; ``features`` gets ``sentence_embedding``, (texts, dimension)."""
        rows = features.pop("token_rows", None) or self._unpadded(features["input_ids"], features["attention_mask"])
        features["sentence_embedding"] = self._combined(rows, engine or self.engine)
        return features

    def with_prompt(self, template: PromptTemplate | RetrievalTemplate, layer: int | float) -> TechniqueModule:
        """Return a module with the same weights and technique around another prompt."""
        options: dict[str, Any] = {"engine": self.engine, "attention": self.attention}
        return TechniqueModule(self.transformer, template, technique=self.technique, layer=layer, **options)

    def around(self, transformer: Transformer) -> TechniqueModule:
        """Return this module around another transformer, such as one with its adapter merged."""
        return TechniqueModule(transformer, self.template, technique=self.technique, layer=self.layer)

    @classmethod
    def load(cls, model_name_or_path: str, **options: Any) -> TechniqueModule:  # type: ignore[override]
        """Load it for a plain ``SentenceTransformer``, which asks for ``trust_remote_code=True``."""
        files = {name: options.get(name) for name in ("token", "cache_folder", "revision", "local_files_only")}
        manifest = Manifest.read(str(load_file_path(model_name_or_path, MANIFEST, **files)))
        if manifest.technique is None:
            raise ArtifactError(f"{model_name_or_path!r}: {MANIFEST} names no technique: save the model again")
        transformer = Transformer.load(model_name_or_path, **options)
        return cls(transformer, manifest.template, technique=from_record(manifest.technique), layer=manifest.layer)

    def _prompt_tokenizers(self) -> list[PromptTokenizer]:
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
        limit = max_length - self.technique.extra_tokens
        rows = []
        for prompter in self._prompt_tokenizers():
            ids = prompter(texts, task=task, prompt=prompt, max_length=limit)
            rows.append(self._prepared(TokenRows(ids, prompter.head(task, prompt), self.tokenizer.pad_token_id)))
        if engine is not None:
            return {"token_rows": rows}
        if any(edit is not None for _, edit in rows):
            raise SettingError(f"{describe_technique(self.technique)} edits layers, which cannot be trained")
        return TokenRows(list(chain.from_iterable(one.rows for one, _ in rows)), (), rows[0][0].pad_token_id).padded()

    def _prepared(self, rows: TokenRows) -> Prepared:
        return self.technique.prepare(rows, self.tokenizer, self.config.get_text_config().num_hidden_layers)

    def _unpadded(self, input_ids: Tensor, attention_mask: Tensor) -> list[Prepared]:
        """Take apart what ``_features`` has put together: all texts in the first template, then in the second, ..."""
        rows = [row[seen].tolist() for row, seen in zip(input_ids, attention_mask.bool(), strict=True)]
        texts = len(rows) // len(self._prompt_tokenizers())
        return [(TokenRows(rows[start : start + texts], (), 0), None) for start in range(0, len(rows), texts)]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _combined(self, rows: Sequence[Prepared], engine: Engine) -> Tensor:
        states = torch.stack([self._states(one, edit, engine) for one, edit in rows], dim=1)
        vectors = self.technique.combine(states if states.dtype == torch.float64 else states.float())
        if vectors.ndim != 2 or len(vectors) != len(states):
            raise SettingError(
                f"{describe_technique(self.technique)} combines states of shape {tuple(states.shape)} to "
                f"{tuple(vectors.shape)}: return (texts, dimension)"
            )
        return vectors.to(states.dtype)

    def _states(self, rows: TokenRows, edit: LayerEdit | None, engine: Engine) -> Tensor:
        """Return (texts, layers, width) of one template's rows."""
        backbone = self.transformer.model
        with editing(edit):
            if engine == "stock":
                found = ReferenceForward(backbone, input_device(backbone)).states(rows.rows, self._layers)
            else:
                found = self._shared_prefix_engine().layer_states(rows.rows, self._layers, prefix=rows.prefix)
        return torch.stack(found, dim=1)


@contextmanager
def _saying_what_does_not_fit(backbone: PreTrainedModel, technique: ForwardTechnique) -> Iterator[None]:
    try:
        yield
    except UnsupportedError as error:
        name = describe_technique(technique)
        raise ModelError(f"{name} does not fit {type(backbone).__name__}: {error}; leave the technique out") from error


def _templates(
    technique: ForwardTechnique, template: PromptTemplate | RetrievalTemplate
) -> list[PromptTemplate | RetrievalTemplate]:
    if isinstance(template, PromptTemplate):
        return list(technique.templates(template))
    pairs = zip(technique.templates(template.query), technique.templates(template.document), strict=True)
    return [RetrievalTemplate(query, document) for query, document in pairs]
