"""Run ``prompteol create``, ``merge`` and ``info``: save a model in one folder, and describe one."""

import json as json_format
from dataclasses import replace
from typing import Annotated

from rich.table import Table

from prompteol.cli import console
from prompteol.cli.model_options import LoadingOptions, ModelOptions, quiet
from prompteol.cli.options import ForceOption, ModelOption, OptionalFolderOption, option
from prompteol.cli.push import PushOptions
from prompteol.errors import SettingError
from prompteol.extras import check_extra
from prompteol.files.model_folders import locate_model


def create(
    *,
    model: ModelOption = None,
    output: OptionalFolderOption = None,
    options: ModelOptions,
    hub: PushOptions,
    force: ForceOption = False,
) -> None:
    """Save a model with its prompt in one folder, on the Hub, or both.

    SentenceTransformer("FOLDER") loads it, even without this package.
    """
    options.check(model)
    hub.check(output, force=force)
    hub.save(options.load(model), output, force=force)


def merge(
    *,
    model: Annotated[str, option("--model -m MODEL", "The folder or Hub name of the LoRA adapter to merge.")],
    output: OptionalFolderOption = None,
    base: Annotated[
        str | None,
        option("--base BASE [what the adapter names]", "The folder or Hub name of the adapter's base model."),
    ] = None,
    loading: LoadingOptions,
    hub: PushOptions,
    force: ForceOption = False,
) -> None:
    """Merge an adapter with its base in full precision, and verify the result.

    The result is saved only if it gives the vectors of base plus adapter, and not those of the base alone.
    """
    check_extra("adapters", "peft")
    loading.check(model)
    hub.check(output, force=force)
    with console.waiting("merging"):
        quiet()
        loading.use_threads()
        from prompteol.training import merge as merge_adapter

        merged = merge_adapter(model, base=base, device=loading.device, **loading.loading())
    parts, base_alone = f"{merged.from_parts:.1e} of the largest entry", f"{merged.from_base:.1e}"
    differs = f"differs from base plus adapter by {parts}, from the base alone by {base_alone}"
    console.note(f"{output or hub.push}: {differs}")
    hub.save(merged.model, output, force=force)


def info(
    *,
    model: ModelOption = None,
    options: ModelOptions,
    fingerprint: Annotated[
        bool,
        option(
            "--fingerprint",
            "Read all weights, on the CPU unless --device names another, and compute their fingerprint.",
        ),
    ] = False,
    json: Annotated[bool, option("--json", "Print one JSON object.")] = False,
) -> None:
    """Show a model's backbone, its rendered template, and the shape of its embeddings.

    Only configuration, tokenizer and the headers of the weights are read. The fingerprint is the one that
    a saved model recorded.
    """
    prompt = options.prompt()
    if options.technique or options.fit_texts:
        raise SettingError("info describes a model as it is: create one with --technique, then describe that")
    if model is not None:
        locate_model(model, options.gguf_file)
    with console.waiting("reading the configuration"):
        quiet()
        from prompteol.loading import model_info

        found = model_info(model, **prompt, **options.loading())
    facts = {"model": model or "the one that ships with prompteol", **found.as_record()}
    if fingerprint:
        facts["fingerprint"] = replace(options, device=options.device or "cpu").load(model).fingerprint()
    if json:
        console.echo(json_format.dumps(facts, ensure_ascii=False, indent=2))
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), console.cell(_shown(value)))
    console.show(table)


def _shown(value: object) -> str:
    if value is None:
        return "not known without reading the weights: --fingerprint"
    if isinstance(value, list):
        return "; ".join(f"{shown['sentence']} => {shown['word']}" for shown in value) or "none"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
