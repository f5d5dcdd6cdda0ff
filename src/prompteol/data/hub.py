"""Read the rows of a data set on the Hub, and the license that its card states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.errors import CorpusError
from prompteol.extras import check_extra

if TYPE_CHECKING:
    from datasets import Dataset


def hub_table(name: str) -> Dataset:
    """Return the rows of ``OWNER/NAME``, ``OWNER/NAME:CONFIGURATION`` or either with ``@SPLIT`` behind it."""
    check_extra("training", "datasets")
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    data_set, _, split = name.partition("@")
    repository, _, config = data_set.partition(":")
    try:
        return load_dataset(repository, config or None, split=split or "train")
    # An old data set that is a script is a RuntimeError.
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = " ".join(str(error).split())
        missing = isinstance(error, DatasetNotFoundError) and "gated" not in reason
        fault = "no such data set on the Hub" if missing else "a data set of that name on the Hub cannot be read"
        raise CorpusError(
            f"no file {name!r}, and {fault} ({reason}); give a file, or OWNER/NAME:CONFIGURATION@SPLIT, of which the "
            "last two may be left out"
        ) from error


def license_on_hub(name: str) -> str | None:
    """Return the license that the card of a data set states, or ``None``."""
    from huggingface_hub import hf_hub_download

    from prompteol.saving import stated

    try:
        card = hf_hub_download(name.partition("@")[0].partition(":")[0], "README.md", repo_type="dataset")
        return stated(Path(card).read_text(encoding="utf-8"), "license")
    # Also what the Hub's own errors are.
    except (OSError, ValueError):
        return None
