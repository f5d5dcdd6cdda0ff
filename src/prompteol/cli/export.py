"""Run ``prompteol export``: write a folder from which servers give a model's own vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import (
    Dtype,
    ForceOption,
    ModelOption,
    NormalizeOption,
    OptionalFolderOption,
    TaskOption,
    option,
)
from prompteol.cli.push import PushOptions, uploading

if TYPE_CHECKING:
    from prompteol import PromptEOL


Server = Literal["llama.cpp"]


@dataclass(frozen=True, kw_only=True)
class ExportedModelOptions(ModelOptions):
    """Describe a model whose weights keep the checkpoint's data type, on a CPU too."""

    dtype: Annotated[
        Dtype | None, option("--dtype [the checkpoint's]", "The data type of the weights that are written.")
    ] = None

    def load(self, model: str | None) -> PromptEOL:
        """Load the model in the data type that is written."""
        return super().load(model) if self.dtype else replace(self, dtype="auto").load(model)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class ExportPushOptions(PushOptions):
    """Describe the branch for servers, which the repository has besides the model's own."""

    push_revision: Annotated[
        str, option("--push-revision BRANCH", "The branch of the repository that gets the folder.")
    ] = "served"

    @property
    def replaced(self) -> str | None:
        """The file of an export that marks a folder which another export may replace."""
        return "export.json"


def export(
    *,
    model: ModelOption = None,
    output: OptionalFolderOption = None,
    task: TaskOption = None,
    normalize: NormalizeOption = False,
    onnx: Annotated[bool, option("--onnx", "Write an ONNX graph, too (extra: onnx).")] = False,
    web: Annotated[
        bool, option("--web", "Write a web page that embeds texts in a browser, too; it includes --onnx.")
    ] = False,
    web_libraries: Annotated[
        Path | None,
        option(
            "--web-libraries FOLDER [npm]",
            "The node_modules folder with the libraries of --web, where npm cannot be reached.",
        ),
    ] = None,
    server: Annotated[
        Server | None,
        option(
            "--for SERVER [any that reads the tokenizer]",
            "Write for a server that ignores tokenizer.json; clients send token ids.",
        ),
    ] = None,
    allow_inexact: Annotated[
        bool,
        option(
            "--allow-inexact", "Write the folder even if ordinary texts get other tokens or vectors than the model's."
        ),
    ] = False,
    options: ExportedModelOptions,
    hub: ExportPushOptions,
    force: ForceOption = False,
) -> None:
    """Write a folder from which servers give a model's vectors for plain text.

    The prompt is in tokenizer.json, so vLLM, Text Embeddings Inference and infinity need no template. The new folder is
    loaded again and compared with the model; it appears only if their vectors agree.
    """
    options.check(model)
    if hub.push is not None:
        from prompteol.saving.export import check_push

        check_push(hub.push_revision, server)
    hub.check(output, force=force)
    from prompteol.saving.export import export as export_model
    from prompteol.saving.export import push as push_folder
    from prompteol.saving.export.report import table

    loaded = options.load(model)
    with TemporaryDirectory() as scratch:
        with console.waiting("exporting"):
            done = export_model(
                loaded,
                output or Path(scratch, "export"),
                task=task,
                normalize=normalize,
                onnx=onnx,
                web=web,
                web_libraries=web_libraries,
                server=server,
                allow_inexact=allow_inexact,
                force=force,
            )
        header, *rows = table(done.comparisons)
        shown = Table(*header)
        for row in rows:
            shown.add_row(*row)
        console.show(shown)
        if output is not None:
            for name, command in done.commands.items():
                console.note(f"{name}: {command}" if "\n" not in command else f"{name}:\n{command}")
        if hub.push is not None:
            with uploading():
                named = push_folder(done, hub.push, hub.push_revision, private=hub.private)
            said = ", as the card of main says" if named else ""
            console.note(f"{hub.push}: the branch {hub.push_revision} holds it{said}")
