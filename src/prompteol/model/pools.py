"""Guard pools of worker processes: one call at a time, and only with the model that the workers were started with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from prompteol.errors import SettingError
from prompteol.inference.structure import Structure
from prompteol.locks import Lock

__all__ = ["remember_pool", "using_pool"]

_RESTART = "stop it with model.stop_multi_process_pool(pool), and start a new one"


class _Counting:
    """Count the items that go through one end of a queue; the count may be too high, never too low."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.count = 0

    def put(self, *args: Any, **kwargs: Any) -> None:
        self.count += 1
        self._queue.put(*args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        found = self._queue.get(*args, **kwargs)
        self.count += 1
        return found


class _Note:
    """Record the model of a pool's workers, and whether results are left in its queues."""

    def __init__(self, model: Any, shares_memory: bool) -> None:
        self.lock = Lock()
        self.broken = False
        self._settings = _settings(model)
        self._structure = _structure(model)
        self._places = _places(model)
        # Workers on the CPU compute with the very memory that an edit in place writes to.
        self._fingerprint = None if shares_memory else model.fingerprint()

    def check(self, model: Any) -> None:
        """Refuse a model that changed since the workers were started."""
        now = _settings(model)
        changed = [name for name, value in self._settings.items() if now[name] != value]
        if not changed and self._structure != _structure(model):
            changed = ["modules, adapters or settings"]
        if not changed and self._weights_changed(model):
            changed = ["weights"]
        if changed:
            raise SettingError(f"the model's {' and '.join(changed)} changed after this pool was started: {_RESTART}")

    def _weights_changed(self, model: Any) -> bool:
        if self._fingerprint is None:
            return self._places != _places(model)
        return bool(model.fingerprint() != self._fingerprint)


# By the queue that goes in: a pool is a plain dictionary.
_notes: WeakKeyDictionary[Any, _Note] = WeakKeyDictionary()


def remember_pool(pool: dict[Any, Any], model: Any, devices: list[str] | None) -> None:
    """Record the model that a pool was started with.

    Args:
        pool: what ``start_multi_process_pool`` returned.
        model: that the workers have copies of.
        devices: of the workers; ``None`` lets sentence-transformers decide.
    """
    on_cpu = not torch.cuda.is_available() if devices is None else all(str(one) == "cpu" for one in devices)
    _notes[pool["input"]] = _Note(model, shares_memory=on_cpu)


@contextmanager
def using_pool(pool: dict[Any, Any], model: Any) -> Iterator[dict[Any, Any]]:
    """Reserve a pool for one call: results have no owner, and threads would take each other's.

    Yields:
        The pool as ``encode`` takes it.

    Raises:
        SettingError: the model is not what the pool was started with, or an earlier call left results behind.
    """
    note = _notes.get(pool["input"])
    if note is None:
        raise SettingError(
            "this pool was not started by a PromptEOL model in this process: start one with "
            "model.start_multi_process_pool()"
        )
    with note.lock.locked():
        if note.broken:
            raise SettingError(f"an earlier call was cut short and left its texts in this pool: {_RESTART}")
        note.check(model)
        texts, results = _Counting(pool["input"]), _Counting(pool["output"])
        try:
            yield {**pool, "input": texts, "output": results}
        finally:
            note.broken = texts.count != results.count


def _settings(model: Any) -> dict[str, Any]:
    """Return what decides the vectors beside the backbone, by the name that an error gives it."""
    return {
        "template": model.template,
        "layer": model.layer,
        "max_seq_length": model.max_seq_length,
        "tokenizer": (id(model.tokenizer), model.tokenizer.chat_template),
    }


def _structure(model: Any) -> list[Structure]:
    """Describe what computes; the first module's own state is among the settings."""
    module, *others = model.children()
    return [Structure(part) for part in (module.transformer.model, module.pooling, *others)]


def _places(model: Any) -> list[tuple[int, torch.device]]:
    return [(tensor.data_ptr(), tensor.device) for tensor in model.state_dict().values()]
