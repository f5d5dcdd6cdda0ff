"""``prompteol info``: what a model is and how it asks."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.options import DemonstrationOption, LayerOption, TemplateOption, load_model, prompt_options, quiet
from prompteol.prompts import PromptTemplate, RetrievalTemplate

if TYPE_CHECKING:
    from prompteol.model_info import Overview

__all__ = ["info"]


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A causal LM, an adapter or a saved model: folder or Hub name.",
            show_default="the model that ships with the package",
        ),
    ] = None,
    template: TemplateOption = None,
    demonstration: DemonstrationOption = None,
    layer: LayerOption = None,
    fingerprint: Annotated[
        bool, typer.Option("--fingerprint", help="Read all weights, on the CPU, and compute the fingerprint anew.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a model's backbone, its template as rendered, and the shape of its embeddings.

    Configuration, tokenizer and the headers of the weights are read, not the weights. The fingerprint is the one that
    a saved model was saved with.
    """
    prompt = prompt_options(template, demonstration, layer)
    with console.waiting("reading the configuration"):
        quiet()
        from prompteol.loading import PromptConfig
        from prompteol.model_info import overview

        found = overview(model, PromptConfig(**prompt))
    facts = {"model": model or "the one that ships with prompteol", **_facts(found)}
    if fingerprint:
        loaded = load_model(model, template=template, demonstrations=demonstration, layer=layer, device="cpu")
        facts["fingerprint"] = loaded.fingerprint()
    if json:
        console.echo(json_format.dumps(facts, ensure_ascii=False, indent=2))
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), console.cell(_shown(value)))
    console.show(table)


def _facts(model: Overview) -> dict[str, Any]:
    return {
        "backbone": model.backbone,
        "parameters": model.parameters,
        "dtype": model.dtype,
        **_prompt_facts(model.template),
        "layer": model.layer,
        "layers": model.layers,
        "dimension": model.dimension,
        "length_limit": model.length_limit,
        "similarity": model.similarity,
        "fingerprint": model.fingerprint,
    }


def _prompt_facts(template: PromptTemplate | RetrievalTemplate) -> dict[str, Any]:
    if isinstance(template, RetrievalTemplate):
        return {
            f"{task}_{name}": value
            for task in ("query", "document")
            for name, value in _prompt_facts(getattr(template, task)).items()
        }
    return {
        "template": str(template),
        "normalization": template.normalization,
        "demonstrations": [{"sentence": shown.sentence, "word": shown.word} for shown in template.demonstrations],
    }


def _shown(value: object) -> str:
    if value is None:
        return "not known without reading the weights: --fingerprint"
    if isinstance(value, list):
        return "; ".join(f"{shown['sentence']} => {shown['word']}" for shown in value) or "none"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
