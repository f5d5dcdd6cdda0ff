"""Read the length that the options of one call to ``encode`` ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prompteol.errors import SettingError

__all__ = ["asked_length"]


def asked_length(processing_kwargs: Mapping[str, Mapping[str, Any]] | None) -> int | None:
    """Return the length that ``encode(processing_kwargs={"text": {"max_length": ...}})`` asks for."""
    text = (processing_kwargs or {}).get("text", {})
    unknown = [*(set(processing_kwargs or {}) - {"text"}), *(set(text) - {"max_length", "truncation"})]
    if unknown or text.get("truncation", True) is not True:
        raise SettingError(
            f"processing_kwargs={processing_kwargs!r}: PromptEOL tokenizes whole prompts, and takes "
            '{"text": {"max_length": ...}} alone'
        )
    return text.get("max_length")
