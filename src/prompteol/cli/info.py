"""``prompteol info``: what a model is and how it asks."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from prompteol.cli import console
from prompteol.cli.options import DemonstrationOption, LayerOption, TemplateOption, load_model
from prompteol.prompts import PromptTemplate, RetrievalTemplate

if TYPE_CHECKING:
    from prompteol import PromptEOL

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
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a model's backbone, its template as rendered, and the shape of its embeddings."""
    loaded = load_model(model, template=template, demonstrations=demonstration, layer=layer, device="cpu")
    facts = {"model": model or "the one that ships with prompteol", **_facts(loaded)}
    if json:
        console.echo(json_format.dumps(facts, ensure_ascii=False, indent=2))
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), console.cell(_shown(value)))
    console.show(table)


def _facts(model: PromptEOL) -> dict[str, Any]:
    backbone = model.module.transformer.model
    return {
        "backbone": type(backbone).__name__,
        "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        **_prompt_facts(model.template),
        "layer": model.layer,
        "layers": backbone.config.get_text_config().num_hidden_layers,
        "dimension": model.get_embedding_dimension(),
        "length_limit": model.max_seq_length,
        "similarity": model.similarity_fn_name,
        "fingerprint": model.fingerprint(),
    }


def _prompt_facts(template: PromptTemplate | RetrievalTemplate) -> dict[str, Any]:
    if isinstance(template, RetrievalTemplate):
        return {
            f"{role}_{name}": value
            for role in ("query", "document")
            for name, value in _prompt_facts(getattr(template, role)).items()
        }
    return {
        "template": str(template),
        "normalization": template.normalization,
        "demonstrations": [{"sentence": shown.sentence, "word": shown.word} for shown in template.demonstrations],
    }


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(f"{shown['sentence']} => {shown['word']}" for shown in value) or "none"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
