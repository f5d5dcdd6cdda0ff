"""Decide what is exported: which prompt, which layers, which modules, and what texts it is compared on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import nn

from prompteol.errors import ExportError, SettingError
from prompteol.model.settable import SettableModel
from prompteol.prompts import PromptTask, RetrievalTemplate, prompt_of_task
from prompteol.saving.export.backbone import backbone_to_export
from prompteol.saving.export.commands import serving_commands
from prompteol.saving.export.folder import check_modules, length_limit
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.report import ExportComparison, Vectors
from prompteol.saving.export.samples import long_texts, samples
from prompteol.saving.export.tokenizer import PromptingTokenizer
from prompteol.saving.fingerprint import fingerprint

# Tokens beyond the template's to which long texts are cut for the comparison.
_CUT_LENGTH = 48


def exported_prompt(model: SettableModel, task: PromptTask | None) -> ExportedPrompt:
    """Return the prompt that is written; raise where there are two, or what servers do not do."""
    pair = isinstance(model.template, RetrievalTemplate)
    if task not in (None, "query", "document"):
        raise SettingError(f"task={task!r} is none of 'query' and 'document'")
    if pair and task is None:
        raise SettingError(
            "the model has a template for queries and one for documents, and a tokenizer holds one prompt: export "
            'twice, with task="query" and task="document" (--task query, --task document), to a folder each'
        )
    if model.technique is not None:
        raise ExportError(f"{model.technique} embeds by several prompts or within layers, which no server does")
    if model.truncate_dim is not None:
        raise ExportError(
            f"truncate_dim={model.truncate_dim} is a setting of sentence-transformers that servers do not read: set "
            "model.truncate_dim = None, and let requests say dimensions"
        )
    prefix = prompt_of_task(task, model.prompts, model.default_prompt_name)
    return ExportedPrompt(model.module.prompter, task, prefix)


@dataclass(frozen=True)
class ExportPlan:
    """Hold what is written: the backbone, the modules behind it, and the prompt."""

    model: SettableModel
    prompt: ExportedPrompt
    backbone: Any
    modules: list[nn.Module]
    max_length: int

    @classmethod
    def of(cls, model: SettableModel, prompt: ExportedPrompt, *, normalize: bool) -> ExportPlan:
        """Check a model's parts, and prepare them; raise ExportError where servers have no such parts."""
        after = list(model.children())[1:]
        check_modules(after)
        backbone, same_length = backbone_to_export(model.module.transformer.model, model.layer)
        if not same_length and any(isinstance(module, Dense) for module in after):
            raise ExportError(
                f"layer={model.layer} with a Dense behind it: the final norm of {type(backbone).__name__} changes the "
                "lengths of states, which the Dense needs; export the model without it, or with layer=-1"
            )
        if (normalize or not same_length) and not (after and isinstance(after[-1], Normalize)):
            after.append(Normalize())
        limit = length_limit(model.max_seq_length, backbone)
        return cls(model, prompt, backbone, [model.module.pooling, *after], limit)

    @property
    def dtype(self) -> torch.dtype:
        """The data type that is written."""
        dtype: torch.dtype = self.backbone.dtype
        return dtype

    def samples(self) -> dict[str, tuple[list[str], int]]:
        """Return texts of each kind, and the number of tokens that their prompts may have."""
        shortest = len(self.prompt.rows([""])[0])
        limit = min(self.max_length, shortest + _CUT_LENGTH)
        fitting = {kind: (texts, self.max_length) for kind, texts in samples(self.prompt).items() if texts}
        return fitting | {"cut": (long_texts(self.prompt, limit), limit)}

    def own(self, texts: list[str], limit: int) -> Vectors:
        """Return the model's own vectors."""
        task: dict[str, Any] = {"task": self.prompt.task} if self.prompt.task else {}
        limits = {"text": {"max_length": limit}}
        encode: Any = self.model.encode
        found = encode(texts, prompt=self.prompt.prefix, processing_kwargs=limits, show_progress_bar=False, **task)
        return np.asarray(found, dtype=np.float32)

    def record(
        self,
        out: Path,
        tokenizer: PromptingTokenizer | None,
        comparisons: list[ExportComparison],
        own_tokenizer: str | None,
    ) -> dict[str, Any]:
        """Return what ``export.json`` says."""
        dtype = str(self.dtype).removeprefix("torch.")
        other = None if own_tokenizer is None else str(out / own_tokenizer)
        return {
            "format": 1,
            "fingerprint": fingerprint(self.model),
            "template": str(self.prompt.template),
            "normalization": self.prompt.template.normalization,
            "task": self.prompt.task,
            "layer": self.model.layer,
            "layers": int(self.backbone.config.get_text_config().num_hidden_layers),
            "max_seq_length": self.max_length,
            "dtype": dtype,
            "modules": [type(module).__name__ for module in self.modules],
            "seam": tokenizer and {"before": tokenizer.before.piece, "after": tokenizer.after.piece},
            "tokenizer": other,
            "commands": serving_commands(str(out), tokenizer=other, dtype=dtype),
            "compared": [asdict(one) for one in comparisons],
        }
