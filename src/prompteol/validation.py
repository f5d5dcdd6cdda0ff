"""Validate input texts and output embeddings, and name the index of the first that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from types import NoneType
from typing import Any

import numpy as np

from prompteol.errors import InputError, NonFiniteError, SettingError


def as_texts(inputs: Any) -> tuple[list[str], bool]:
    """Return a list of texts, and whether a single text was given.

    Args:
        inputs: a string, or anything that holds strings in an order: a list, an array of numpy or pyarrow, a Series of
            pandas or polars, a column of datasets, a generator.

    Raises:
        InputError: anything else, or an item that is no string; the message has its place, counted from 0.
    """
    single = isinstance(inputs, (str, bytes, bytearray, Mapping)) or getattr(inputs, "ndim", 1) == 0
    if isinstance(inputs, (set, frozenset)):
        raise InputError(
            "the texts are a set, whose order no vector could be matched to: give a list, as in sorted(texts)"
        )
    if hasattr(inputs, "columns") or hasattr(inputs, "column_names"):
        names = [str(name) for name in getattr(inputs, "column_names", None) or inputs.columns]
        raise InputError(
            f"the texts are a table ({type(inputs).__name__}) with the columns {', '.join(names):.200}: give one "
            "column, as in table[NAME]"
        )
    # Arrays give their items as Python's own strings only so.
    unpack = getattr(inputs, "to_pylist", None) or getattr(inputs, "tolist", None)
    if unpack is not None:
        inputs = unpack()
    single = single or not isinstance(inputs, Iterable)
    texts = [inputs] if single else list(inputs)
    check_texts(texts)
    return texts, single


def check_texts(texts: Sequence[Any]) -> None:
    """Raise :class:`InputError` for the first item that is no string of Unicode characters."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            shown = " ".join(repr(text).split())
            # As Python or pandas writes that there is none.
            nothing = type(text).__name__ in ("NoneType", "NAType", "NaTType")
            missing = nothing or (isinstance(text, float) and text != text)
            hint = ": drop such rows, or fill them with text" if missing else ""
            raise InputError(f"text {index} is {type(text).__name__} {shown:.60}, not a string{hint}")
        if text.isascii():
            continue
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {index} holds a lone surrogate {text[error.start]!a} at position {error.start}, which is no "
                'Unicode character: repair it with text.encode("utf-8", "replace").decode()'
            ) from None


def check_finite(vectors: Any, texts: Sequence[str]) -> None:
    """Raise :class:`NonFiniteError` for the first text whose vector holds NaN or infinity.

    ``vectors`` is what ``encode`` returned: an array or tensor, or a list of either, or of feature dictionaries.
    """
    if _finite(vectors):
        return
    for index, vector in enumerate(vectors):
        if not _finite(vector["sentence_embedding"] if isinstance(vector, dict) else vector):
            raise NonFiniteError(
                f"the embedding of text {index} ({texts[index]!r:.60}) holds NaN or infinity: compute in fp32 with "
                'model_kwargs={"dtype": "float32"}, or in bf16 on an accelerator'
            )


def check_prompts(prompts: Any, name: Any = None, prompt: Any = None) -> None:
    """Refuse prompts that are no strings by name, the name of none of them, and a prompt that is no string."""
    if not isinstance(prompts, Mapping):
        raise SettingError(f'prompts={prompts!r:.60}: give strings by name, as in {{"query": "find: "}}')
    given = {"prompt": prompt, **{f"prompts[{key!r}]": text for key, text in prompts.items()}}
    for where, text in given.items():
        if not isinstance(text, (str, NoneType)):
            raise SettingError(f"{where}={text!r:.60} is {type(text).__name__}, not a string")
    if name is not None and name not in list(prompts):
        known = ", ".join(map(repr, prompts))
        raise SettingError(f"no prompt is named {name!r}, only {known}: give one of these, or add it to prompts")


def check_count(name: str, value: Any, of: str = "texts") -> None:
    """Refuse a number of things that is no whole number above 0; ``None`` leaves it to the model."""
    if value is not None and (not isinstance(value, Integral) or isinstance(value, bool) or value < 1):
        raise SettingError(f"{name}={value!r} is no number of {of}: give a whole number above 0, or None")


def check_dimension(dimension: Any, most: int | None = None) -> None:
    """Refuse a dimension that vectors cannot be cut to, of ``most`` there are; ``None`` cuts nothing."""
    if dimension is None:
        return
    whole = isinstance(dimension, Integral) and not isinstance(dimension, bool)
    if most is not None and whole and dimension > most:
        raise SettingError(
            f"truncate_dim={dimension}, but the model has {most} dimensions: give {most} or less, or None"
        )
    if not whole or dimension < 1:
        raise SettingError(
            f"truncate_dim={dimension!r} is no dimension to cut vectors to: give a whole number from 1 to "
            f"{most or 'the dimension that the model has'}, or None"
        )


def _finite(values: Any) -> bool:
    import torch

    if isinstance(values, torch.Tensor):
        return bool(torch.isfinite(values).all())
    return isinstance(values, np.ndarray) and bool(np.isfinite(values).all())
