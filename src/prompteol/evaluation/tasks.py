"""Name the evaluation tasks, the paper's sixteen and those that others register, and the data that they are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from itertools import chain
from typing import Any, Literal, Protocol, TypeAlias

from prompteol.errors import EvaluationError

Embed: TypeAlias = Callable[[Sequence[str]], Any]
"""Returns one row for each sentence, dense or sparse."""
Suite = Literal["sts", "dev", "transfer"]


class TaskNotFoundError(Exception):
    """Say that a source does not hold a task; the evaluation reports it as missing and goes on."""


class TaskData(Protocol):
    """Hold what a task is scored on."""

    def sentences(self) -> list[str]:
        """List every sentence that is embedded for the task."""
        ...


@dataclass(frozen=True)
class StsSubset:
    """Hold one subset of an STS task: pairs of sentences, and as many human scores from 0 to 5."""

    subset: str
    first: Sequence[str]
    second: Sequence[str]
    gold: Sequence[float]


@dataclass(frozen=True)
class StsData:
    """Hold an STS task: its subsets, and the SHA-256 of every part it was read from."""

    subsets: Sequence[StsSubset]
    parts: dict[str, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """List every sentence: first all left ones, subset after subset, then all right ones."""
        sides = [subset.first for subset in self.subsets] + [subset.second for subset in self.subsets]
        return [*chain.from_iterable(sides)]


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
    parts: dict[str, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """List every sentence: split after split, column after column."""
        return [*chain.from_iterable(chain.from_iterable(e.columns for e in self.splits.values()))]


@dataclass(frozen=True)
class Task:
    """Describe an evaluation task.

    Args:
        name: as ``--tasks`` takes it and as tables show it.
        suite: the table that it stands in; of a task of your own any name but those of :data:`SUITES`.
        load: reads the data: :class:`StsData`, :class:`TransferData` or anything with ``sentences()``. ``None`` for
            the paper's tasks, which a SentEval folder or the Hub holds.
        score: takes the data and a function that embeds a list of sentences, and returns a score. ``None`` scores
            :class:`StsData` and :class:`TransferData` as the paper does.
        metric: the name of the score in results.
    """

    name: str
    suite: str
    load: Callable[[], TaskData] | None = None
    score: Callable[[Any, Embed], float] | None = None
    metric: str = "score"


SUITES: dict[Suite, tuple[str, ...]] = {
    "sts": ("STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R"),
    "dev": ("STS-B-dev", "SICK-R-dev"),
    "transfer": ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC"),
}
"""The paper's tasks by suite, and two development splits, in the order of the paper's tables."""
TASKS: dict[str, Task] = {name: Task(name, suite) for suite, names in SUITES.items() for name in names}
"""Every task by name; :func:`register_task` adds to them."""


def register_task(task: Task) -> None:
    """Add a task, which ``load_benchmark`` and ``--tasks`` then know by its name and by that of its suite.

    The command line finds it where an installed package names the module that registers it in the entry point group
    ``prompteol.tasks``.

    Raises:
        EvaluationError: the name is taken, the suite is one of the paper's, or there is nothing to load.
    """
    if not _key(task.name) or _key(task.name) in {*map(_key, TASKS), *_groups()}:
        raise EvaluationError(f"a task or group is called {task.name!r} already; choose another name")
    if _key(task.suite) in {*SUITES, "all"}:
        raise EvaluationError(f"suite {task.suite!r} is averaged as the paper does; choose another name for it")
    if task.load is None:
        raise EvaluationError(f"task {task.name!r} has no load; give a function that returns its data")
    TASKS[task.name] = task


def parse_tasks(names: Sequence[str]) -> list[Task]:
    """Turn names of tasks and groups, in any case, into tasks in the order of the paper's tables, others last."""
    for plugin in entry_points(group="prompteol.tasks"):
        plugin.load()
    known = {_key(name): [name] for name in TASKS} | _groups()
    found: set[str] = set()
    for name in names:
        if _key(name) not in known:
            shown = ", ".join(_groups())
            raise EvaluationError(f"no task is called {name!r}; the groups are {shown}, the tasks {', '.join(TASKS)}")
        found.update(known[_key(name)])
    return [task for task in TASKS.values() if task.name in found]


def _groups() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {"sts": [], "transfer": [], "dev": [], "all": [*SUITES["sts"], *SUITES["transfer"]]}
    for task in TASKS.values():
        groups.setdefault(_key(task.suite), []).append(task.name)
    return groups


def _key(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
