"""What decides the bytes of a corpus, and what only decides how the work is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from prompteol.corpus.precision import Precision, check_precision
from prompteol.corpus.shards import ShardFormat
from prompteol.errors import SettingError
from prompteol.prompts import PROMPT_TASKS, PromptTask

__all__ = ["CHUNK_BYTES", "CHUNK_ROWS", "ModelLoader", "OnError", "Settings"]

OnError = Literal["stop", "skip"]

# Texts embedded together: enough to sort by length, few enough that memory stays small whatever the texts are.
CHUNK_ROWS = 2048
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of the output, beside model and input.

    Args:
        column: of the text; ``None``: ``text`` or ``sentence``, or the only column.
        keep: columns that are written beside the vectors.
        output_format: ``"parquet"``, or ``"npy"`` with a sidecar of ids.
        shard_rows: rows of the input a shard, those at fault included.
        precision: ``"float32"``, ``"float16"``, ``"int8"`` or ``"ubinary"``.
        normalize: scale each vector to length 1, after any cut.
        truncate_dim: keep this many leading dimensions.
        task: take the prompt for ``"query"`` or ``"document"``.
        batch_size: texts handed to the model at once; ``None``: what its ``encode`` says.
        threads: of torch in every process, for how many share a sum decides its last bits; ``None``: torch's own.

    Raises:
        SettingError: one is outside what it may be.
    """

    column: str | None = None
    keep: tuple[str, ...] = ()
    output_format: ShardFormat = "parquet"
    shard_rows: int = 100_000
    precision: Precision = "float32"
    normalize: bool = False
    truncate_dim: int | None = None
    task: PromptTask | None = None
    batch_size: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_precision(self.precision)
        for name, choices in (("output_format", get_args(ShardFormat)), ("task", (None, *PROMPT_TASKS))):
            if getattr(self, name) not in choices:
                listed = ", ".join(repr(choice) for choice in choices)
                raise SettingError(f"{name} {getattr(self, name)!r} is none of {listed}")
        for name in ("shard_rows", "truncate_dim", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"{name}={value} is below 1")


@dataclass(frozen=True)
class ModelLoader:
    """A model, or how to load one in any process.

    Args:
        model: a name or folder, ``None`` for the model that ships with the package, or a ``SentenceTransformer``.
        options: for ``PromptEOL(...)``, where ``model`` is none yet.
        load: in place of ``PromptEOL``; can be pickled.
    """

    model: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    load: Callable[..., Any] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether this is a model, and not the name of one."""
        return self.model is not None and not isinstance(self.model, str)

    @property
    def name(self) -> str | None:
        """What the manifest calls the model; ``None`` is the one that ships with the package."""
        if self.model is None or isinstance(self.model, str):
            return self.model
        if self.is_loaded:
            card = getattr(self.model, "model_card_data", None)
            return getattr(card, "base_model", None) or getattr(card, "model_name", None) or type(self.model).__name__
        return None

    def open(self, device: str | None) -> Any:
        """Return the model on a device."""
        if self.is_loaded:
            return self.model if device is None else self.model.to(device)
        if self.load is not None:
            return self.load(self.model, device=device, **self.options)
        from prompteol.sentence_transformers import PromptEOL

        return PromptEOL(self.model, device=device, **self.options)


def check_on_error(on_error: str) -> None:
    """Raise :class:`SettingError` where there is no such way."""
    if on_error not in get_args(OnError):
        raise SettingError(f"on_error {on_error!r} is none of {', '.join(get_args(OnError))}")
