"""Guard pools of worker processes: one call at a time, and only with the model that the workers were started with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch

from prompteol.errors import SettingError
from prompteol.inference.structure import Structure
from prompteol.locks import Lock
from prompteol.tokenization import tokenizer_state

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
        self._shares_memory = shares_memory
        self._state = _state(model, shares_memory)

    def check(self, model: Any) -> None:
        """Refuse a model that changed since the workers were started."""
        now = _state(model, self._shares_memory)
        changed = next((name for name, value in self._state.items() if now[name] != value), None)
        if changed:
            raise SettingError(f"the model's {changed} changed after this pool was started: {_RESTART}")


# By the queue that goes in: a pool is a plain dictionary.
_notes: WeakKeyDictionary[Any, _Note] = WeakKeyDictionary()


def remember_pool(pool: dict[Any, Any], model: Any, devices: list[str] | None) -> None:
    """Record the model that a pool was started with; ``devices`` tell whether its workers share the memory."""
    on_cpu = not torch.cuda.is_available() if devices is None else all(str(one) == "cpu" for one in devices)
    _notes[pool["input"]] = _Note(model, shares_memory=on_cpu)


@contextmanager
def using_pool(pool: dict[Any, Any], model: Any) -> Iterator[dict[Any, Any]]:
    """Reserve a pool for one call: results have no owner, and threads would take each other's.

    SettingError where the model is not what the pool was started with, or an earlier call left results behind.
    """
    note = _notes.get(pool["input"])
    if note is None:
        raise SettingError("this pool was not started by a PromptEOL model here: model.start_multi_process_pool()")
    with note.lock.locked():
        if note.broken:
            raise SettingError(f"an earlier call was cut short and left its texts in this pool: {_RESTART}")
        note.check(model)
        texts, results = _Counting(pool["input"]), _Counting(pool["output"])
        try:
            yield {**pool, "input": texts, "output": results}
        finally:
            note.broken = texts.count != results.count


def _state(model: Any, shares_memory: bool) -> dict[str, Any]:
    """Return what decides the vectors, by the name that an error gives it."""
    module, *others = model.children()
    return {
        "template": model.template,
        "layer": model.layer,
        "max_seq_length": model.max_seq_length,
        "tokenizer": hash(json.dumps(tokenizer_state(model.tokenizer))),
        "modules, adapters or settings": [
            Structure(part) for part in (module.transformer.model, module.pooling, *others)
        ],
        # Workers on the CPU compute with the very memory that an edit in place writes to.
        "weights": [(tensor.data_ptr(), tensor.device) for tensor in chain(model.parameters(), model.buffers())]
        if shares_memory
        else [model.fingerprint(), *(tensor.tolist() for tensor in model.buffers())],
    }
