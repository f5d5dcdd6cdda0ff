"""Pools of worker processes, each with a lock, and with a note of the model that its workers hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from prompteol.errors import SettingError
from prompteol.inference.structure import Structure
from prompteol.locks import Lock
from prompteol.saving import fingerprint

__all__ = ["remember_pool", "using_pool"]

_RESTART = "stop it with model.stop_multi_process_pool(pool), and start a new one"


class _Counting:
    """One end of a queue that counts what goes through; more may be counted than went, never less."""

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
    """What a pool's workers hold, and whether anything is left in its queues."""

    def __init__(self, model: Any, shares_memory: bool) -> None:
        self.lock = Lock()
        self.broken = False
        self._settings = _settings(model)
        self._structure = _structure(model)
        self._places = _places(model)
        # Workers on the CPU compute with the very memory that an edit in place writes to.
        self._fingerprint = None if shares_memory else fingerprint(model)

    def check(self, model: Any) -> None:
        """Make sure that the model is still what the workers were given."""
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
        return fingerprint(model) != self._fingerprint


# By the queue that goes in: a pool is a plain dictionary.
_notes: WeakKeyDictionary[Any, _Note] = WeakKeyDictionary()


def remember_pool(pool: dict[Any, Any], model: Any, devices: list[str] | None) -> None:
    """Note what a pool was started with.

    Args:
        pool: what ``start_multi_process_pool`` returned.
        model: whose copies its workers hold.
        devices: that were asked for.
    """
    on_cpu = not torch.cuda.is_available() if devices is None else all(str(one) == "cpu" for one in devices)
    _notes[pool["input"]] = _Note(model, shares_memory=on_cpu)


@contextmanager
def using_pool(pool: dict[Any, Any], model: Any) -> Iterator[dict[Any, Any]]:
    """Hold a pool for one call: results have no owner, and threads would take each other's.

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
    with note.lock.held():
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
