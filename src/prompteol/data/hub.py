"""A data set on the Hub: its rows, and the license that its card states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.errors import CorpusError
from prompteol.extras import check_extra
from prompteol.saving import stated_license

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["hub_table", "license_on_hub"]


def hub_table(name: str) -> Dataset:
    """Return the rows of ``OWNER/NAME``, ``OWNER/NAME:CONFIGURATION`` or either with ``@SPLIT`` behind it.

    Raises:
        CorpusError: there is no such data set, configuration or split, or it cannot be read.
        MissingExtraError: datasets is not installed.
    """
    check_extra("training", "datasets")
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    repository, config, split = _parts(name)
    try:
        return load_dataset(repository, config, split=split)
    # An old data set that is a script is a RuntimeError.
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        said = " ".join(str(error).split())
        missing = isinstance(error, DatasetNotFoundError) and "gated" not in said
        fault = "no such data set on the Hub" if missing else "a data set of that name on the Hub cannot be read"
        raise CorpusError(
            f"no file {name!r}, and {fault} ({said}); give a file, or OWNER/NAME:CONFIGURATION@SPLIT, of which the "
            "last two may be left out"
        ) from error


def license_on_hub(name: str) -> str | None:
    """Return the license that the card of a data set states, or ``None``."""
    from huggingface_hub import hf_hub_download

    try:
        card = hf_hub_download(_parts(name)[0], "README.md", repo_type="dataset")
        return stated_license(Path(card).read_text(encoding="utf-8"))
    # Also what the Hub's own errors are.
    except (OSError, ValueError):
        return None


def _parts(name: str) -> tuple[str, str | None, str]:
    name, _, split = name.partition("@")
    repository, _, config = name.partition(":")
    return repository, config or None, split or "train"
