"""Export a model: write the folder, load it again, compare, and publish it where its vectors are the model's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import nn

from prompteol.errors import ExportError, SettingError
from prompteol.files.atomic import atomic_folder, check_folder
from prompteol.model.settable import SettableModel
from prompteol.prompts import PromptTask, RetrievalTemplate
from prompteol.saving.export.backbone import backbone_to_export
from prompteol.saving.export.commands import card, serving_commands
from prompteol.saving.export.folder import check_modules, length_limit, write_model
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.report import (
    TOLERANCE,
    ExportComparison,
    Reloaded,
    Rows,
    Vectors,
    auto_tokenizer,
    compared,
    rows_of_auto_tokenizer,
    rows_of_tokenizers,
)
from prompteol.saving.export.samples import long_texts, samples
from prompteol.saving.export.tokenizer import PromptingTokenizer, prompting_tokenizer
from prompteol.saving.fingerprint import fingerprint
from prompteol.saving.manifest import EXPORTED

_OWN_TOKENIZER = "tokenizer"
# Tokens beyond the template's to which long texts are cut for the comparison.
_CUT_LENGTH = 48

Server = Literal["llama.cpp"]


@dataclass(frozen=True)
class Export:
    """Describe an exported folder: how its rows and vectors compare with the model's, and the commands to serve it."""

    folder: Path
    comparisons: tuple[ExportComparison, ...]
    commands: Mapping[str, str]
    record: Mapping[str, Any] = field(repr=False)


def export(
    model: SettableModel,
    out: str | Path,
    *,
    task: PromptTask | None = None,
    normalize: bool = False,
    allow_inexact: bool = False,
    force: bool = False,
) -> Export:
    """Write a folder that gives a model's vectors for plain text, wherever its tokenizer is read.

    Args:
        model: a ``PromptEOL`` model. The folder has its data type.
        out: the folder to make.
        task: ``"query"`` or ``"document"``, needed where the model has a template for each.
        normalize: add a module that scales vectors to length 1.
        allow_inexact: export also where rows or vectors of ordinary texts are not the model's own.
        force: replace a model that lies at ``out``.

    Raises:
        ExportError: servers would give other vectors, or there is no way to export such a model.
        SettingError: the task is missing, or names nothing.
    """
    out = Path(out)
    check_folder(out, force=force)
    prompt = _prompt(model, task)
    plan = _Plan.of(model, prompt, normalize=normalize)
    texts = plan.samples()
    tokenizer = prompting_tokenizer(prompt, texts["ordinary"][0])
    was_training = model.training
    model.eval()
    try:
        with atomic_folder(out, force=force) as partial_folder:
            write_model(partial_folder, plan.backbone, plan.modules, plan.max_length)
            tokenizer.save(partial_folder, prompt.prompter.tokenizer, plan.max_length)
            comparisons, own_tokenizer = _compare(plan, partial_folder, texts, tokenizer)
            if not allow_inexact:
                _check(comparisons, plan.dtype, out)
            record = plan.record(out, tokenizer, comparisons, own_tokenizer)
            license = model.model_card_data.license
            text = card(prompt, record, comparisons, license if isinstance(license, str) else None)
            (partial_folder / "README.md").write_text(text, encoding="utf-8")
            written = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            (partial_folder / EXPORTED).write_text(written, encoding="utf-8")
    finally:
        model.train(was_training)
    return Export(out, tuple(comparisons), record["commands"], record)


def _prompt(model: SettableModel, task: PromptTask | None) -> ExportedPrompt:
    pair = isinstance(model.template, RetrievalTemplate)
    if task not in (None, "query", "document"):
        raise SettingError(f"task={task!r} is none of 'query' and 'document'")
    if pair and task is None:
        raise SettingError(
            "the model has a template for queries and one for documents, and a tokenizer holds one prompt: export "
            'twice, with task="query" and task="document" (--task query, --task document), to a folder each'
        )
    if model.technique is not None:
        raise ExportError(f"{model.technique} embeds by several prompts or layers, which no server does")
    if model.truncate_dim is not None:
        raise ExportError(
            f"truncate_dim={model.truncate_dim} is a setting of sentence-transformers that servers do not read: set "
            "model.truncate_dim = None, and let requests say dimensions"
        )
    name = task or model.default_prompt_name
    return ExportedPrompt(model.module.prompter, task, (model.prompts.get(name) or "") if name else "")


@dataclass(frozen=True)
class _Plan:
    """Hold what is written: the backbone, the modules behind it, and the prompt."""

    model: SettableModel
    prompt: ExportedPrompt
    backbone: Any
    modules: list[nn.Module]
    max_length: int

    @classmethod
    def of(cls, model: SettableModel, prompt: ExportedPrompt, *, normalize: bool) -> _Plan:
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
        limit = length_limit(model.max_seq_length, backbone, model.tokenizer)
        return cls(model, prompt, backbone, [model.module.pooling, *after], limit)

    @property
    def dtype(self) -> torch.dtype:
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
        tokenizer: PromptingTokenizer,
        comparisons: list[ExportComparison],
        own_tokenizer: str | None,
    ) -> dict[str, Any]:
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
            "seam": {"before": tokenizer.before.piece, "after": tokenizer.after.piece},
            "tokenizer": other,
            "commands": serving_commands(str(out), tokenizer=other, dtype=dtype),
            "compared": [asdict(one) for one in comparisons],
        }


def _compare(
    plan: _Plan, folder: Path, texts: Mapping[str, tuple[list[str], int]], tokenizer: PromptingTokenizer
) -> tuple[list[ExportComparison], str | None]:
    """Load a folder again in each way; write the tokenizer a second time where the first one is not read as it is."""
    reloaded = Reloaded(folder, plan.model.device, plan.dtype)
    ways = {
        "tokenizers": partial(rows_of_tokenizers, folder / "tokenizer.json"),
        "AutoTokenizer": partial(rows_of_auto_tokenizer, reloaded.tokenizer),
    }
    ordinary, limit = texts["ordinary"]
    other = None
    if ways["AutoTokenizer"](ordinary, limit) != ways["tokenizers"](ordinary, limit):
        # Where a config.json lies beside it, transformers may take the architecture's own class.
        other = _OWN_TOKENIZER
        tokenizer.save(folder / other, plan.prompt.prompter.tokenizer, plan.max_length)
        ways[f"AutoTokenizer, {other}/"] = partial(rows_of_auto_tokenizer, auto_tokenizer(folder / other))
    found = []
    for kind, (some, most) in texts.items():
        own_rows, own_vectors = plan.prompt.rows(some, most), plan.own(some, most)
        rows: dict[str, Rows] = {name: way(some, most) for name, way in ways.items()}
        for name, theirs in rows.items():
            found.append(compared(name, kind, (own_rows, theirs), (own_vectors, reloaded.vectors(theirs))))
    return sorted(found, key=lambda one: list(ways).index(one.loaded)), other


def _check(comparisons: list[ExportComparison], dtype: torch.dtype, out: Path) -> None:
    """Raise ExportError where ordinary texts have other rows or vectors, loaded in a way that the commands use."""
    ways = [one.loaded for one in comparisons]
    for one in comparisons:
        replaced = one.loaded == "AutoTokenizer" and any(way.startswith("AutoTokenizer,") for way in ways)
        if one.kind != "ordinary" or replaced:
            continue
        if one.identical < 1 or not one.difference <= TOLERANCE[dtype]:
            raise ExportError(
                f"loaded by {one.loaded}, {one.identical:.0%} of {one.texts} ordinary texts have the model's tokens, "
                f"and vectors differ by {one.difference:.1e} where {TOLERANCE[dtype]:.0e} is allowed; "
                f"allow_inexact=True (--allow-inexact) writes {str(out)!r} in spite of it"
            )
