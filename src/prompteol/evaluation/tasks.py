"""The paper's fourteen tasks and two development splits: their names, and the data each is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from prompteol.errors import EvaluationError

__all__ = [
    "SUITES",
    "TASKS",
    "LabeledTexts",
    "StsData",
    "StsSubset",
    "Suite",
    "Task",
    "TaskNotFoundError",
    "TransferData",
    "is_task",
    "parse_tasks",
]


class TaskNotFoundError(Exception):
    """A source does not hold a task; the evaluation reports it as missing and goes on."""


Suite = Literal["sts", "dev", "transfer"]


@dataclass(frozen=True)
class Task:
    """Name one task and the suite it is averaged in."""

    name: str
    suite: Suite


SUITES: dict[Suite, tuple[str, ...]] = {
    "sts": ("STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R"),
    "dev": ("STS-B-dev", "SICK-R-dev"),
    "transfer": ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC"),
}
TASKS: dict[str, Task] = {name: Task(name, suite) for suite, names in SUITES.items() for name in names}
"""Every task by name, in the order of the paper's tables."""

_GROUPS: dict[str, tuple[str, ...]] = {
    "sts": ("sts",),
    "transfer": ("transfer",),
    "dev": ("dev",),
    "all": ("sts", "transfer"),
}


@dataclass(frozen=True)
class StsSubset:
    """Hold one subset of an STS task: pairs of sentences and their human scores.

    ``first``, ``second`` and ``gold`` have the same length; gold scores run from 0 to 5.
    """

    subset: str
    first: Sequence[str]
    second: Sequence[str]
    gold: Sequence[float]


@dataclass(frozen=True)
class StsData:
    """Hold an STS task: its subsets, and the SHA-256 of every part it was read from."""

    subsets: Sequence[StsSubset]
    parts: dict[str, str]

    def sentences(self) -> list[str]:
        """List every sentence: first all left ones, subset after subset, then all right ones."""
        sides = (subset.first for subset in self.subsets), (subset.second for subset in self.subsets)
        return [*chain.from_iterable(chain.from_iterable(sides))]


@dataclass(frozen=True)
class LabeledTexts:
    """Hold labeled sentences, or labeled pairs of sentences: one column, or two of the same length."""

    columns: tuple[Sequence[str], ...]
    labels: Sequence[int | str]


@dataclass(frozen=True)
class TransferData:
    """Hold a transfer task: its splits, and the SHA-256 of every part it was read from.

    The names of the splits choose the protocol, as in SentEval: ``all`` (nested cross-validation),
    ``train`` and ``test`` (cross-validation on train), or ``train``, ``dev`` and ``test``.
    """

    splits: dict[str, LabeledTexts]
    parts: dict[str, str]

    def sentences(self) -> list[str]:
        """List every sentence: split after split, column after column."""
        return [*chain.from_iterable(chain.from_iterable(e.columns for e in self.splits.values()))]


def parse_tasks(names: Sequence[str]) -> list[Task]:
    """Turn names of tasks and of groups (``sts``, ``transfer``, ``all``, ``dev``) into tasks.

    Case and hyphens do not matter (``stsb`` is ``STS-B``); the order is that of the paper's tables and each
    task comes once. An unknown name raises :class:`~prompteol.errors.EvaluationError` with the valid ones.
    """
    by_key = {_key(name): task for name, task in TASKS.items()}
    chosen: set[str] = set()
    for name in names:
        key = _key(name)
        if key in _GROUPS:
            chosen.update(task.name for task in TASKS.values() if task.suite in _GROUPS[key])
        elif key in by_key:
            chosen.add(by_key[key].name)
        else:
            raise EvaluationError(
                f"no task is called {name!r}; the groups are {', '.join(_GROUPS)}, the tasks {', '.join(TASKS)}"
            )
    return [task for task in TASKS.values() if task.name in chosen]


def is_task(name: str) -> bool:
    """Say whether :func:`parse_tasks` knows a name, of a task or of a group."""
    return _key(name) in {*map(_key, TASKS), *_GROUPS}


def _key(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
