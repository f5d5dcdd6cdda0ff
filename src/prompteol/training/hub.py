"""A data set on the Hub: its rows, and the licence that its card states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompteol.errors import CorpusError, MissingExtraError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["hub_table", "licence_on_hub"]


def hub_table(name: str) -> Dataset:
    """Return the rows of ``OWNER/NAME``, ``OWNER/NAME:CONFIGURATION`` or either with ``@SPLIT`` behind it.

    Raises:
        CorpusError: there is no such data set, configuration or split, or it cannot be read.
        MissingExtraError: datasets is not installed.
    """
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError, DatasetsError
    except ImportError as error:
        raise MissingExtraError("datasets", "training") from error
    repository, config, split = _parts(name)
    try:
        return load_dataset(repository, config, split=split)
    # An old data set that is a script is a RuntimeError.
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        said = " ".join(str(error).split())
        missing = isinstance(error, (DatasetNotFoundError, ConnectionError))
        fault = "no such data set on the Hub" if missing else "the data set of that name on the Hub cannot be read"
        raise CorpusError(
            f"no file {name!r}, and {fault} ({said}); give a file, or OWNER/NAME:CONFIGURATION@SPLIT, of which the "
            "last two may be left out"
        ) from error


def licence_on_hub(name: str) -> str | None:
    """Return the licence that the card of a data set states, or ``None``."""
    from huggingface_hub import DatasetCard
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from prompteol.artefact import stated_licence

    try:
        return stated_licence(DatasetCard.load(_parts(name)[0]).content)
    except (OSError, ValueError, HfHubHTTPError, HFValidationError):
        return None


def _parts(name: str) -> tuple[str, str | None, str]:
    name, _, split = name.partition("@")
    repository, _, config = name.partition(":")
    return repository, config or None, split or "train"
