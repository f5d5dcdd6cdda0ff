"""Register techniques by name, and resolve what a user gives in their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from prompteol.errors import SettingError
from prompteol.techniques.protocol import ForwardTechnique, Readout, Technique

_techniques: dict[str, type[Technique]] = {}
TECHNIQUES: Mapping[str, type[Technique]] = MappingProxyType(_techniques)
"""The configurations by name; :func:`register_technique` adds to them."""


def register_technique(name: str, config: type[Technique]) -> None:
    """Add a technique, which ``technique=``, ``fit_readout`` and ``--technique`` then know by its name.

    Raises:
        SettingError: the name is taken or is none, or ``config`` is no subclass of ``Readout`` or ``ForwardTechnique``.
    """
    if not isinstance(name, str) or not name.replace("-", "").isalnum():
        raise SettingError(f"technique name {name!r} is none: give letters, digits and hyphens, such as 'my-technique'")
    if name in _techniques:
        raise SettingError(f"technique {name!r} exists: {_techniques[name].__name__}; choose another name")
    if not isinstance(config, type) or not issubclass(config, Technique):
        raise SettingError(f"technique {name!r}: {config!r:.60} is no subclass of Readout or ForwardTechnique")
    _techniques[name] = config


def resolve_techniques(given: str | Technique | Iterable[str | Technique]) -> tuple[Technique, ...]:
    """Return techniques from a name, as in ``"whitening:power=0.5"``, a technique, or several."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return (_resolve(given),)
    return tuple(map(_resolve, given))


def split_techniques(
    given: str | Technique | Iterable[str | Technique] | None, *, with_texts: bool = False
) -> tuple[ForwardTechnique | tuple[()] | None, tuple[Readout, ...]]:
    """Tell the forward technique from the read-outs behind it; ``()`` for it takes away the one of a saved model.

    Raises:
        SettingError: there are two forward techniques, or a read-out needs texts and there are none.
    """
    techniques = () if given is None else resolve_techniques(given)
    forward = [one for one in techniques if isinstance(one, ForwardTechnique)]
    readouts = tuple(one for one in techniques if isinstance(one, Readout))
    if len(forward) > 1:
        raise SettingError(f"{' and '.join(map(describe_technique, forward))} do not combine: give one of them")
    for readout in readouts:
        if readout.needs_texts and not with_texts:
            name = describe_technique(readout)
            raise SettingError(
                f"{name} is fitted on texts: load the model, then fit_readout(model, texts, {name!r}); on the command "
                "line --fit-texts FILE"
            )
    return (forward[0] if forward else None if given is None or readouts else ()), readouts


def to_record(technique: ForwardTechnique) -> dict[str, Any]:
    """Return name and options of a technique as ``prompteol.json`` holds them."""
    return {"name": _name_of(technique), **asdict(technique)}


def from_record(record: Mapping[str, Any]) -> ForwardTechnique:
    """Return the technique that a saved model names; raise ``SettingError`` where it is not registered."""
    options = {key: value for key, value in record.items() if key != "name"}
    if record["name"] not in TECHNIQUES:
        raise SettingError(
            f"the model was saved with the technique {record['name']!r}, which is none of {', '.join(TECHNIQUES)}: "
            "import what registers it, then load the model"
        )
    return TECHNIQUES[record["name"]].configure(options)  # type: ignore[return-value]


def _name_of(technique: Technique) -> str:
    for name, config in _techniques.items():
        if config is type(technique):
            return name
    kind = type(technique).__name__
    raise SettingError(f'{kind} is not registered: call register_technique("my-technique", {kind}) first')


def describe_technique(technique: Technique) -> str:
    """Return the name of a technique and its options, as ``--technique`` takes them."""
    given = {name: value for name, value in asdict(technique).items() if value is not None}
    options = (f"{name}={'+'.join(map(str, v)) if isinstance(v, (list, tuple)) else v}" for name, v in given.items())
    return _name_of(technique) + (":" if given else "") + ",".join(options)


def _resolve(given: Any) -> Technique:
    if isinstance(given, Technique):
        _name_of(given)
        return given
    name, _, options = str(given).partition(":")
    if not isinstance(given, str) or name not in TECHNIQUES:
        raise SettingError(f"technique={given!r:.80} is none of {', '.join(TECHNIQUES)}")
    return TECHNIQUES[name].configure(dict(_option(name, part) for part in options.split(",") if part))


def _option(name: str, text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals:
        raise SettingError(f'technique {name!r}: {text!r} is no option; write "{name}:OPTION=VALUE"')
    for kind in (int, float):
        with suppress(ValueError):
            return option.strip(), kind(value)
    return option.strip(), value
