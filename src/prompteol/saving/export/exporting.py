"""Export a model: write the folder, load it again, and publish it if its vectors are the model's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from tokenizers import Tokenizer

from prompteol.errors import ExportError, SettingError
from prompteol.files.atomic import atomic_folder, check_folder
from prompteol.inference.evaluation_mode import evaluation_mode
from prompteol.model.settable import SettableModel
from prompteol.prompts import PromptTask
from prompteol.saving.card import folder_name
from prompteol.saving.export.card import card
from prompteol.saving.export.commands import llama_cpp_commands
from prompteol.saving.export.folder import write_model, write_own_tokenizer
from prompteol.saving.export.libraries import library_files
from prompteol.saving.export.onnx import ONNX_FILE, OnnxModel, check_onnx, write_onnx
from prompteol.saving.export.plan import ExportPlan, exported_prompt
from prompteol.saving.export.report import (
    ExportComparison,
    Reloaded,
    Rows,
    Vectors,
    auto_tokenizer,
    compared,
    rows_of_auto_tokenizer,
    rows_of_tokenizers,
)
from prompteol.saving.export.tokenizer import PromptingTokenizer, prompting_tokenizer
from prompteol.saving.export.web import embeddings_are_head, write_page
from prompteol.saving.manifest import EXPORTED
from prompteol.vectors import tolerance

_OWN_TOKENIZER = "tokenizer"

Server = Literal["llama.cpp"]
Way = tuple[Callable[[Sequence[str], int], Rows], Callable[[Rows], Vectors]]


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
    onnx: bool = False,
    web: bool = False,
    web_libraries: str | Path | None = None,
    server: Server | None = None,
    allow_inexact: bool = False,
    force: bool = False,
) -> Export:
    """Write a folder that gives a model's vectors for plain text, wherever its tokenizer is read.

    Args:
        model: a ``PromptEOL`` model. The folder has its data type.
        out: the folder to make.
        task: ``"query"`` or ``"document"``, which is needed where the model has a template for each.
        normalize: add a module that scales vectors to length 1.
        onnx: write the graph too, as ``onnx/model.onnx``; needs the extra ``onnx``.
        web: write a static page that embeds texts in a browser, too; it needs the graph. Its two libraries come from
            npm, in fixed versions, and are kept in the user's cache.
        web_libraries: a ``node_modules`` folder to take the libraries from, where npm cannot be reached.
        server: ``"llama.cpp"``, which reads no prompt from a tokenizer: the folder has the model's own tokenizer, and
            the client sends token ids.
        allow_inexact: export even if token rows or vectors of ordinary texts are not the model's own.
        force: replace a model that lies at ``out``.

    Raises:
        ExportError: servers would give other vectors, or there is no way to export such a model.
        SettingError: the task is missing, an argument names nothing, or the model is not a ``PromptEOL``.
    """
    if not isinstance(model, SettableModel):
        raise SettingError(f"model={model!r:.80} is no PromptEOL model: give PromptEOL(...) of it")
    out, onnx = Path(out), onnx or web
    if server not in (None, *get_args(Server)):
        raise SettingError(f"server={server!r} is not 'llama.cpp': leave it out, any other reads the same folder")
    if server is not None and onnx:
        raise SettingError(f"server={server!r} reads no ONNX: export twice, to a folder each")
    if onnx:
        check_onnx()
    check_folder(out, force=force)
    if web_libraries is not None and not web:
        raise SettingError(f"web_libraries={str(web_libraries)!r} is for a page: add web=True (--web)")
    prompt = exported_prompt(model, task)
    plan = ExportPlan.of(model, prompt, normalize=normalize)
    texts = plan.samples()
    ordinary, limit = texts["ordinary"]
    tokenizer = None if server else prompting_tokenizer(prompt, ordinary)
    libraries = library_files(Path(web_libraries) if web_libraries else None) if web else []
    with evaluation_mode(model), atomic_folder(out, force=force) as folder:
        write_model(folder, plan.backbone, plan.modules, plan.max_length)
        if tokenizer is None:
            write_own_tokenizer(folder, prompt.prompter.tokenizer)
        else:
            tokenizer.save(folder, prompt.prompter.tokenizer, plan.max_length)
        traced = prompt.rows(ordinary[:3], limit)
        words = web and embeddings_are_head(plan)
        about = write_onnx(folder, plan.backbone, plan.modules[1:], traced, words=words) if onnx else None
        if web and about is not None:
            write_page(folder, plan, about["outputs"], libraries)
        comparisons, other = _compare(plan, folder, texts, tokenizer, onnx=onnx)
        if not allow_inexact:
            _check(comparisons, plan.dtype, out)
        record = plan.record(out, tokenizer, comparisons, other) | {"onnx": about}
        if server is not None:
            record |= {"commands": llama_cpp_commands(str(out), plan.max_length), "server": server}
        notes = getattr(model, "training_notes", "")
        text = card(model, prompt, record, comparisons, folder_name(out), notes=notes)
        (folder / "README.md").write_text(text, encoding="utf-8")
        (folder / EXPORTED).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Export(out, tuple(comparisons), record["commands"], record)


def _compare(
    plan: ExportPlan,
    folder: Path,
    texts: Mapping[str, tuple[list[str], int]],
    tokenizer: PromptingTokenizer | None,
    *,
    onnx: bool,
) -> tuple[list[ExportComparison], str | None]:
    """Load a folder again in each way; write a second tokenizer where AutoTokenizer reads the first one differently."""
    reloaded = Reloaded(folder, plan.model.device, plan.dtype)
    ways: dict[str, Way] = {}
    other = None
    if tokenizer is None:
        ways["token ids"] = plan.prompt.rows, reloaded.vectors
    else:
        raw = partial(rows_of_tokenizers, Tokenizer.from_file(str(folder / "tokenizer.json")))
        auto = partial(rows_of_auto_tokenizer, reloaded.tokenizer)
        ways = {"tokenizers": (raw, reloaded.vectors), "AutoTokenizer": (auto, reloaded.vectors)}
        if auto(*texts["ordinary"]) != raw(*texts["ordinary"]):
            # Next to a config.json, transformers may load the architecture's own tokenizer class.
            other = _OWN_TOKENIZER
            tokenizer.save(folder / other, plan.prompt.prompter.tokenizer, plan.max_length)
            auto = partial(rows_of_auto_tokenizer, auto_tokenizer(folder / other))
            ways[f"AutoTokenizer, {other}/"] = auto, reloaded.vectors
        if onnx:
            ways["ONNX Runtime"] = raw, OnnxModel(folder / ONNX_FILE).vectors
    found = []
    for kind, (some, most) in texts.items():
        rows, vectors = plan.prompt.rows(some, most), plan.own(some, most)
        for name, (rows_of, vectors_of) in ways.items():
            theirs = rows_of(some, most)
            found.append(compared(name, kind, (rows, theirs), (vectors, vectors_of(theirs))))
    return sorted(found, key=lambda one: list(ways).index(one.loaded)), other


def _check(comparisons: list[ExportComparison], dtype: torch.dtype, out: Path) -> None:
    """Raise ExportError if ordinary texts get other rows or vectors in a way of loading that the commands use."""
    ways = [one.loaded for one in comparisons]
    for one in comparisons:
        replaced = one.loaded == "AutoTokenizer" and any(way.startswith("AutoTokenizer,") for way in ways)
        if one.kind != "ordinary" or replaced:
            continue
        if one.identical < 1 or not one.difference <= tolerance(dtype):
            raise ExportError(
                f"loaded by {one.loaded}, {one.identical:.0%} of {one.texts} ordinary texts have the model's tokens, "
                f"and vectors differ by {one.difference:.1e} where {tolerance(dtype):.0e} is allowed; "
                f"allow_inexact=True (--allow-inexact) writes {str(out)!r} in spite of it"
            )
