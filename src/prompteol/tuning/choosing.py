"""Choose the techniques that tuning tries: those named, or all of the registry that suit the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prompteol.errors import PromptEOLError, SettingError
from prompteol.techniques import TECHNIQUES, ForwardTechnique, Readout, Technique
from prompteol.techniques.registry import describe_technique, resolve_techniques
from prompteol.tuning.candidates import named_technique
from prompteol.tuning.readouts import ReadoutFitter

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL


@dataclass(frozen=True)
class ChosenTechniques:
    """Hold the techniques to try, and why others are not."""

    forward: Sequence[ForwardTechnique]
    fitter: ReadoutFitter | None  # fits the read-outs, if there are any
    named: bool  # whether the user named them: a technique that does not fit is then an error
    passed_over: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The techniques that are tried, as ``--technique`` takes them."""
        names = [*map(named_technique, self.forward), *([] if self.fitter is None else self.fitter.readouts)]
        return [name for name in names if name not in self.skipped]

    @property
    def skipped(self) -> dict[str, str]:
        """The techniques that did not suit the model or the texts, and why."""
        return self.passed_over | ({} if self.fitter is None else self.fitter.unfit)

    def pass_over(self, technique: Technique, error: PromptEOLError) -> None:
        """Leave a technique out because of an error; raise it where the user named the technique."""
        if self.named:
            raise error
        self.passed_over[named_technique(technique)] = str(error)


def choose_techniques(
    model: PromptEOL, given: Iterable[str | Technique] | None, fit_texts: Sequence[str] | None, *, everywhere: bool
) -> ChosenTechniques:
    """Resolve techniques; ``None`` is every registered one whose options have defaults."""
    skipped: dict[str, str] = {}
    if given is not None:
        techniques = list(resolve_techniques(given))
    else:
        techniques = []
        for name, config in TECHNIQUES.items():
            try:
                techniques.append(config.configure({}))
            except (TypeError, SettingError) as error:
                skipped[name] = f"it has an option without a default: {error}"
    forward = [one for one in techniques if isinstance(one, ForwardTechnique)]
    readouts = [one for one in techniques if isinstance(one, Readout)]
    if readouts and "readout" in model.provenance:
        why = f"this model has a read-out already ({model.provenance['readout']})"
        if given is not None:
            raise SettingError(f"{why}: load the model that it was fitted for, or name no read-out")
        skipped |= {describe_technique(one): why for one in readouts}
        readouts = []
    fitter = ReadoutFitter(model, readouts, fit_texts, everywhere=everywhere) if readouts else None
    return ChosenTechniques(forward, fitter, given is not None, skipped)
