"""``manifest.json``: what a corpus was made of, and what it takes to go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prompteol.corpus.precision import Storage
from prompteol.corpus.settings import Settings
from prompteol.corpus.storage import LocalFolder, RemoteFolder
from prompteol.errors import CorpusError

__all__ = ["MANIFEST", "CorpusManifest"]

MANIFEST = "manifest.json"
_FORMAT = 1
# What tells two jobs apart, each with its name in messages.
_IDENTITY = {
    "model": "model",
    "template": "template",
    "sources": "input",
    "column": "column",
    "keep": "keep",
    "output_format": "output_format",
    "shard_rows": "shard_rows",
    "precision": "precision",
    "normalize": "normalize",
    "truncate_dim": "truncate_dim",
    "task": "task",
    "batch_size": "batch_size",
    "dimension": "dimension",
}


@dataclass(frozen=True)
class CorpusManifest:
    """All that decides the bytes of a corpus; once it is whole, also its shards and counts."""

    record: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        settings: Settings,
        storage: Storage,
        *,
        model: Mapping[str, Any],
        template: Any,
        sources: Sequence[Mapping[str, Any]],
        types: Sequence[str],
    ) -> CorpusManifest:
        """Describe a corpus that is about to be made."""
        from importlib.metadata import version

        return cls._as_read(
            {
                "format": _FORMAT,
                "made_by": f"prompteol {version('prompteol')}",
                "model": dict(model),
                "template": template,
                "dimension": storage.dimension,
                "width": storage.width,
                "dtype": storage.dtype,
                "precision": settings.precision,
                "int8_ranges": storage.ranges and [list(side) for side in storage.ranges],
                "normalize": settings.normalize,
                "truncate_dim": settings.truncate_dim,
                "task": settings.task,
                "batch_size": settings.batch_size,
                "threads": settings.threads,
                "column": settings.column,
                "keep": dict(zip(settings.keep, types, strict=True)),
                "output_format": settings.output_format,
                "shard_rows": settings.shard_rows,
                "sources": [dict(source) for source in sources],
                "complete": False,
            }
        )

    @classmethod
    def _as_read(cls, record: Mapping[str, Any]) -> CorpusManifest:
        # JSON knows no tuples: what is about to be made has to compare equal to what was read.
        return cls(json.loads(json.dumps(record)))

    @classmethod
    def read(cls, folder: LocalFolder | RemoteFolder) -> CorpusManifest | None:
        """Read the manifest of a folder, or ``None`` where there is none.

        Raises:
            CorpusError: it is damaged, or of a later version.
        """
        where = folder.path(MANIFEST)
        try:
            record = json.loads(folder.read(MANIFEST))
            later = record["format"] > _FORMAT
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{where!r} is damaged ({error!r}): give an empty folder") from error
        except OSError as error:
            raise CorpusError(f"cannot read {where!r}: {error.strerror or error}") from error
        if later:
            raise CorpusError(f"{where!r} has format {record['format']}: pip install -U prompteol")
        return cls(record)

    @property
    def storage(self) -> Storage:
        """How the vectors are stored."""
        ranges = self.record["int8_ranges"]
        low_high = (tuple(ranges[0]), tuple(ranges[1])) if ranges else None
        return Storage(self.record["precision"], self.record["dimension"], low_high)

    @property
    def keep(self) -> tuple[str, ...]:
        """The columns beside the vectors."""
        return tuple(self.record["keep"])

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the kept columns."""
        return tuple(self.record["keep"].values())

    @property
    def is_complete(self) -> bool:
        """Whether every shard is there."""
        return bool(self.record["complete"])

    def completed(self, shards: Sequence[Mapping[str, Any]], *, rows: int, errors: int) -> CorpusManifest:
        """Return the manifest of the finished corpus."""
        counts = {"complete": True, "rows": rows, "errors": errors, "rows_read": rows + errors}
        return replace(self, record={**self.record, **counts, "shards": [dict(shard) for shard in shards]})

    def write(self, folder: LocalFolder | RemoteFolder) -> None:
        """Write it whole or not at all."""
        content = (json.dumps(self.record, indent=2, ensure_ascii=False) + "\n").encode()
        folder.publish([MANIFEST], lambda file: file.write(content))

    def check_same(self, other: CorpusManifest, location: str) -> None:
        """Raise :class:`CorpusError` where a folder holds another corpus than the one asked for, with both named."""
        for key, said in _IDENTITY.items():
            mine, theirs = _compared(key, self.record), _compared(key, other.record)
            if mine != theirs:
                raise CorpusError(
                    f"{location!r} holds a corpus of another {said}: {_shown(key, self.record)} there, "
                    f"{_shown(key, other.record)} here; give another folder, or remove that one"
                )


def _compared(key: str, record: Mapping[str, Any]) -> Any:
    if key == "model":
        # One model may be at several places.
        return record["model"]["fingerprint"]
    # Of kept columns the names: what their types are, the first run settled.
    return list(record["keep"]) if key == "keep" else record[key]


def _shown(key: str, record: Mapping[str, Any]) -> str:
    value = record[key]
    if key == "model":
        return f"{value['name'] or 'the model that ships with the package'} ({value['fingerprint'][:12]})"
    if key == "sources":
        named = (f"{source['name']} ({str(source.get('sha256', 'no hash'))[:12]})" for source in value)
        return f"{', '.join(named):.200}"
    return f"{json.dumps(list(value) if key == 'keep' else value, ensure_ascii=False):.300}"
