"""Group the options of a prompt and of loading, and load the model that they describe."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from prompteol.cli import console
from prompteol.cli import options as shared
from prompteol.errors import LayerError, SettingError
from prompteol.extras import check_extra
from prompteol.files import TextSource
from prompteol.files.atomic import atomic_folder
from prompteol.files.model_folders import locate_model
from prompteol.prompts import resolve_demonstrations, resolve_template
from prompteol.techniques import Readout
from prompteol.techniques.registry import split_techniques

if TYPE_CHECKING:
    from prompteol import PromptEOL


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """Describe the prompt around a text, and the layer to read."""

    template: shared.TemplateOption = None
    demonstration: shared.DemonstrationOption = None
    layer: shared.LayerOption = None
    normalization: shared.NormalizationOption = None

    def prompt(self) -> dict[str, Any]:
        """Return the arguments of ``PromptEOL``; raise where one is wrong, before anything loads."""
        if self.template is not None:
            resolve_template(self.template)
        shown = None
        if self.demonstration is not None:
            shown = [one for given in self.demonstration for one in resolve_demonstrations(given)]
        layer = None if self.layer is None else parse_layer(self.layer)
        # The template by its name, which a saved model then records.
        return {"template": self.template, "normalization": self.normalization, "demonstrations": shown, "layer": layer}


@dataclass(frozen=True, kw_only=True)
class LoadingOptions:
    """Describe how a model is loaded."""

    engine: shared.EngineOption = "auto"
    device: shared.DeviceOption = None
    revision: shared.RevisionOption = None
    gguf_file: shared.GGUFFileOption = None
    trust_remote_code: shared.TrustRemoteCodeOption = False
    threads: shared.ThreadsOption = None

    def loading(self) -> dict[str, Any]:
        """Return the arguments of ``PromptEOL``, but for the device."""
        given = {"engine": self.engine, "revision": self.revision, "trust_remote_code": self.trust_remote_code}
        return given | ({"gguf_file": self.gguf_file} if self.gguf_file else {})

    def check(self, model: str | None) -> None:
        """Raise if an option or a small file of the model is wrong, before outputs are checked and weights are read."""
        if model is not None:
            locate_model(model, self.gguf_file)
        if self.device is not None:
            from prompteol.model import check_device

            check_device(self.device, "--device ")
        if model is None:
            return
        quiet()
        from prompteol.model import check_causal, find_source

        # SentenceTransformer looks here by default.
        folder = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
        source = find_source(model, gguf_file=self.gguf_file, cache_folder=folder, revision=self.revision)
        # To read the configuration of a GGUF file is slow, as it comes with the whole vocabulary.
        if source.gguf_file:
            check_extra("gguf", "gguf", "accelerate")
            _ = source.gguf_header
        elif source.kind == "base":
            check_causal(source, trust_remote_code=self.trust_remote_code)

    def use_threads(self) -> None:
        """Compute with the given number of CPU threads; ``None`` leaves it to the libraries."""
        if self.threads is not None:
            import torch

            # Read by the tokenizers when they first run in parallel.
            os.environ["RAYON_NUM_THREADS"] = str(self.threads)
            torch.set_num_threads(self.threads)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(LoadingOptions, PromptOptions):
    """Describe a model: its prompt, its techniques, and how it is loaded."""

    technique: shared.TechniqueOption = None
    fit_texts: shared.FitTextsOption = None
    dtype: shared.DtypeOption = None

    def techniques(self) -> tuple[dict[str, Any], tuple[Readout, ...]]:
        """Return the argument of ``PromptEOL``, and the read-outs to fit; raise where one is wrong."""
        file = self.fit_texts
        forward, readouts = split_techniques(self.technique, with_texts=file is not None)
        if file is not None and not any(readout.needs_texts for readout in readouts):
            raise SettingError(f"--fit-texts {file!r}: no technique is fitted on texts; add --technique whitening")
        return {"technique": forward}, readouts

    def changes_model(self) -> bool:
        """Return whether the options give the named model another prompt, layer or technique."""
        prompt = (self.template, self.demonstration, self.layer, self.normalization)
        return any(given is not None for given in (*prompt, self.technique, self.gguf_file, self.dtype))

    def check(self, model: str | None) -> None:
        """Check the prompt and the techniques, too."""
        self.prompt()
        self.techniques()
        if self.fit_texts is not None:
            TextSource.open(self.fit_texts)
        super().check(model)

    def load(self, model: str | None) -> PromptEOL:
        """Load the model; raise where an option is wrong before any weight is read."""
        prompt = self.prompt()
        technique, readouts = self.techniques()
        texts = None if self.fit_texts is None else list(TextSource.open(self.fit_texts).texts())
        with console.waiting("loading the model"):
            quiet()
            self.use_threads()
            # The model's folder was checked when the command began.
            super().check(None)
            from prompteol import PromptEOL

            kwargs = {"dtype": self.dtype} if self.dtype else None
            loaded = PromptEOL(model, **prompt, **technique, **self.loading(), device=self.device, model_kwargs=kwargs)
        if readouts:
            from prompteol import fit_readout

            with console.waiting("fitting the read-out"):
                fit_readout(loaded, texts, readouts)
        return loaded


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of each dataclass among its parameters, as Typer reads them from a signature."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if not is_dataclass(parameter.annotation):
            parameters.append(parameter)
            continue
        groups[name] = parameter.annotation
        hints = get_type_hints(groups[name], include_extras=True)
        for field in fields(groups[name]):
            parameters.append(parameter.replace(name=field.name, default=field.default, annotation=hints[field.name]))

    def call(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def parse_layer(text: str) -> int | float:
    """Read a layer as people write it: ``-2``, or a share of the depth, ``0.9``."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise LayerError(f"--layer {text!r} is neither a layer such as -2 nor a share of the depth such as 0.9")


def save(model: PromptEOL, folder: Path, *, force: bool) -> None:
    """Save a model whole or not at all."""
    with console.waiting("saving"), atomic_folder(folder, force=force) as partial:
        model.save_pretrained(str(partial), folder.resolve().name)


def quiet() -> None:
    """Hide the progress bars and load reports of libraries; our own warnings are shown."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
