"""Check, before anything is loaded, that an extra's packages are installed and that their versions fit each other."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from prompteol.errors import IncompatibleVersionError, MissingExtraError


def check_extra(extra: str, *packages: str) -> None:
    """Raise where packages of an extra that are about to be used are absent, or of versions that exclude each other.

    Only metadata is read, so this comes before anything is imported, loaded or written. The versions that count are
    those that this package, transformers or the package itself excludes.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)
    own = list(_required_by("prompteol", extra))
    for package in packages:
        demands = [
            *(("prompteol", one) for one in own if one.name == canonicalize_name(package)),
            *(("transformers", one) for one in _demanded_by_transformers() if one.name == canonicalize_name(package)),
            *((package, one) for one in _required_by(package) if one.name in _DECISIVE),
        ]
        for demander, demand in demands:
            if not _satisfied(demand):
                # The versions that this package allows are checked before other packages' requirements.
                unmet = [one for one in own if not _satisfied(one)] or [demand]
                fitting = sorted({f"{one.name}{one.specifier}" for one in unmet})
                raise IncompatibleVersionError(
                    f"{demander} {version(demander)} needs {demand.name}{demand.specifier}, and {demand.name} "
                    f"{version(demand.name)} is installed; what fits is {' with '.join(fitting)}: pip install "
                    + " ".join(f'"{one}"' for one in fitting)
                )


# Only these requirements of other packages are checked, as most are stricter than necessary.
_DECISIVE = {
    "accelerate", "huggingface-hub", "onnx", "pyarrow", "sentence-transformers", "tokenizers", "torch", "transformers",
}  # fmt: skip


def _required_by(distribution: str, extra: str = "") -> Iterator[Requirement]:
    """Yield what the metadata of a distribution requires here, with an extra or without."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:  # a module that is there without metadata makes no demands
        return
    for requirement in _parsed(lines):
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if wanted and requirement.name == distribution:
            for inner in requirement.extras:
                yield from _required_by(distribution, inner)
        elif wanted:
            yield requirement


def _demanded_by_transformers() -> Iterator[Requirement]:
    """Yield what transformers asks of packages that it does not require, from the table that it checks them by."""
    found = PathFinder.find_spec("transformers")
    table = Path(found.origin or "").with_name("dependency_versions_table.py") if found else Path()
    if table.is_file():
        yield from _parsed(runpy.run_path(str(table)).get("deps", {}).values())


def _parsed(lines: Iterable[str]) -> Iterator[Requirement]:
    """Yield requirements under the one spelling of each name; what is none, as in old metadata, demands nothing."""
    for line in lines:
        with suppress(InvalidRequirement):
            requirement = Requirement(line)
            requirement.name = canonicalize_name(requirement.name)
            yield requirement


def _satisfied(demand: Requirement) -> bool:
    try:
        return demand.specifier.contains(version(demand.name), prereleases=True)
    except PackageNotFoundError:
        return True
