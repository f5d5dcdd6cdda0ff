"""Save a model in a folder, on the Hub, or both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from prompteol.cli import console
from prompteol.cli.model_options import save
from prompteol.cli.options import option
from prompteol.errors import HubError, SettingError
from prompteol.files.atomic import check_folder

if TYPE_CHECKING:
    from prompteol import PromptEOL


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Describe where on the Hub a model is uploaded, if at all."""

    push: Annotated[
        str | None, option("--push NAME", "Upload the folder to this repository on the Hub; -o is then optional.")
    ] = None
    push_revision: Annotated[
        str, option("--push-revision BRANCH", "The branch of the repository that gets the folder.")
    ] = "main"
    private: Annotated[
        bool, option("--private", "Create the repository as private; refuse an existing public one.")
    ] = False

    @property
    def replaced(self) -> str | None:
        """The file that marks a folder on the Hub which may be replaced without ``--force``."""
        return None

    def check(self, output: Path | None, *, force: bool) -> None:
        """Raise, before any work is done, if the folder or the repository cannot be written."""
        if output is None and self.push is None:
            raise SettingError("there is nowhere to write: give -o FOLDER, or --push NAME")
        if self.push is None and self.private:
            raise SettingError("--private is for a repository on the Hub: give --push NAME, too")
        if output is not None:
            check_folder(output, force=force)
        if self.push is not None:
            from prompteol.saving.hub import check_upload

            check_upload(
                self.push, revision=self.push_revision, private=self.private, replaced=self.replaced, force=force
            )

    def save(self, model: PromptEOL, output: Path | None, *, force: bool) -> None:
        """Save a model, upload it, and say how it is loaded."""
        with TemporaryDirectory() as scratch:
            folder = output or Path(scratch, "model")
            name = ""
            if self.push is not None:
                from prompteol.saving.hub import full_name

                name = full_name(self.push)
                model.model_card_data.set_model_id(name)
            save(model, folder, force=force)
            if output is not None:
                console.note_saved(output)
            if not name:
                return
            try:
                with uploading():
                    url = model.push_to_hub(
                        name,
                        local_model_path=str(folder),
                        private=self.private or None,
                        exist_ok=True,
                        revision=None if self.push_revision == "main" else self.push_revision,
                    )
            except HubError as error:
                kept = "" if output is None else f"; the model lies in {str(output)!r}"
                raise HubError(f"{error}{kept}") from error
        how = "" if self.push_revision == "main" else f', revision="{self.push_revision}"'
        console.note(f'{url}\n{name}: load it with SentenceTransformer("{name}"{how})')


@contextmanager
def uploading() -> Iterator[None]:
    """Show the Hub client's progress bars while the block runs, if stderr is a terminal."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hidden = are_progress_bars_disabled()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            enable_progress_bars()
