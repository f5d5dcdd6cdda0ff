"""Describe in ``manifest.json`` what a corpus is made of, and check that a later run continues the same corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from prompteol.corpus.shards import Precision, ShardFormat, Storage
from prompteol.corpus.storage import CorpusFolder
from prompteol.errors import CorpusError, SettingError
from prompteol.prompts import PROMPT_TASKS, PromptTask
from prompteol.validation import check_count, check_dimension

MANIFEST = "manifest.json"
_FORMAT = 1
_SHOWN = 200


@dataclass(frozen=True)
class Settings:
    """Hold what decides the bytes of a corpus, besides model and input, as :func:`prompteol.embed_corpus` takes it.

    The number of torch's threads is part of it, as it decides the last bits of a sum.
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
        choices = {"precision": get_args(Precision), "output_format": get_args(ShardFormat)}
        for name, known in {**choices, "task": (None, *PROMPT_TASKS)}.items():
            if getattr(self, name) not in known:
                raise SettingError(f"{name} {getattr(self, name)!r} is none of {', '.join(map(repr, known))}")
        check_dimension(self.truncate_dim)
        for name, of in (("shard_rows", "rows"), ("batch_size", "texts"), ("threads", "threads")):
            check_count(name, getattr(self, name), of)


@dataclass(frozen=True)
class CorpusManifest:
    """Record all that decides the bytes of a corpus; once it is whole, also its shards and counts."""

    record: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        settings: Settings,
        storage: Storage,
        *,
        model: Mapping[str, Any],
        computed: Mapping[str, Any],
        template: Any,
        sources: Sequence[Mapping[str, Any]],
        types: Sequence[str],
    ) -> CorpusManifest:
        """Describe a corpus that is about to be made."""
        from importlib.metadata import version

        record = {
            "format": _FORMAT,
            "made_by": f"prompteol {version('prompteol')}",
            # The template comes before the model, whose fingerprint it changes, so that the error names the template.
            "template": template,
            "model": model,
            **computed,
            "dimension": storage.dimension,
            "width": storage.width,
            "dtype": storage.dtype,
            "int8_ranges": storage.ranges,
            **asdict(settings),
            "keep": dict(zip(settings.keep, types, strict=True)),
            "sources": sources,
            "complete": False,
        }
        # JSON turns tuples into lists, so the new record is converted too: it has to equal the one that is read back.
        return cls(json.loads(json.dumps(record)))

    @classmethod
    def read(cls, folder: CorpusFolder) -> CorpusManifest | None:
        """Read the manifest of a folder, or ``None`` where there is none."""
        where = folder.path(MANIFEST)
        try:
            record = json.loads(folder.read(MANIFEST))
            if record["format"] > _FORMAT:
                raise CorpusError(f"{where!r} has format {record['format']}: pip install -U prompteol")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CorpusError(f"{where!r} is damaged ({error!r}): give an empty folder") from error
        return cls(record)

    @property
    def storage(self) -> Storage:
        """How the vectors are stored."""
        return Storage(self.record["precision"], self.record["dimension"], self.record["int8_ranges"])

    @property
    def keep(self) -> dict[str, str]:
        """The kept columns and their types."""
        return dict(self.record["keep"])

    @property
    def is_complete(self) -> bool:
        """Whether every shard is there."""
        return bool(self.record["complete"])

    def completed(self, shards: Sequence[Mapping[str, Any]]) -> CorpusManifest:
        """Return the manifest of the finished corpus."""
        rows, read = (sum(shard[name] for shard in shards) for name in ("rows", "rows_read"))
        counts = {"complete": True, "rows": rows, "errors": read - rows, "rows_read": read}
        return replace(self, record={**self.record, **counts, "shards": list(shards)})

    def write(self, folder: CorpusFolder) -> None:
        """Write the manifest whole or not at all."""
        folder.publish_json(MANIFEST, self.record, indent=2)

    def check_same(self, other: CorpusManifest, location: str) -> None:
        """Raise :class:`CorpusError` that names both, where a folder holds another corpus than the one asked for."""
        for key, value in self.record.items():
            # For a corpus that is whole, nothing more is computed, so the device does not matter.
            asked = key in _ASKED and not (key == "device" and self.is_complete)
            if asked and _compared(key, value) != _compared(key, other.record[key]):
                there, here = _shown(key, value, other.record[key])
                raise CorpusError(
                    f"{location!r} holds a corpus of another {'input' if key == 'sources' else key}: {there} there, "
                    f"{here} here; give another folder, or remove that one"
                )


# These tell two corpora apart. The threads are checked earlier, and the ranges follow from the rest.
_ASKED = (
    {"model", "engine", "attention", "device", "template", "sources", "dimension"} | set(Settings.__dataclass_fields__)
) - {"threads"}


def _compared(key: str, value: Any) -> Any:
    """Return the part of a value that stays the same when a model or file is moved; the first run settled the types."""
    if key == "sources":
        return [[source["format"], source.get("delimiter"), source.get("sha256", source["name"])] for source in value]
    return value["fingerprint"] if key == "model" else list(value) if key == "keep" else value


def _shown(key: str, there: Any, here: Any) -> tuple[str, str]:
    """Return two values that differ, cut to a readable length around the place where they differ."""
    if key == "sources":
        one, other = _compared(key, there), _compared(key, here)
        first = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
        place = min(len(one), len(other)) if first is None else first
        return _source_shown(there, place), _source_shown(here, place)
    if key == "model":
        one, other = (value["name"] or "the model that ships with the package" for value in (there, here))
        return f"{one} ({there['fingerprint'][:12]})", f"{other} ({here['fingerprint'][:12]})"
    one, other = (json.dumps(list(value) if key == "keep" else value, ensure_ascii=False) for value in (there, here))
    differ = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    begin = max(0, differ - _SHOWN // 2)
    return _cut(one, begin), _cut(other, begin)


def _source_shown(sources: Sequence[Mapping[str, Any]], place: int) -> str:
    """Return the name of a source, and its number among all sources."""
    if place >= len(sources):
        return f"{len(sources)} in all"
    source = sources[place]
    facts = [source["format"], str(source.get("sha256", "no hash"))[:12]]
    facts += [f"delimiter {source['delimiter']!r}"] if source.get("delimiter") else []
    which = f", number {place + 1} of {len(sources)}" if len(sources) > 1 else ""
    return f"{source['name']} ({', '.join(facts)}){which}"


def _cut(said: str, begin: int) -> str:
    """Return a part of a text, with dots for what is left out."""
    end = begin + _SHOWN
    return "..." * (begin > 0) + said[begin:end] + "..." * (len(said) > end)
