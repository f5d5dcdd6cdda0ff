"""Run ``prompteol demo``: serve a web page on which a model can be tried, or write it as a Hub Space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prompteol.cli import console
from prompteol.cli.model_options import ModelOptions
from prompteol.cli.options import ModelOption, option
from prompteol.errors import SettingError
from prompteol.extras import check_extra


def demo(
    *,
    folder: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="The model to show, in place of --model.")
    ] = None,
    model: ModelOption = None,
    options: ModelOptions,
    port: Annotated[
        int | None, option("--port N [the first free one from 7860 on]", "The port to serve at.", min=1, max=65535)
    ] = None,
    host: Annotated[str, option("--host ADDRESS", "The address to serve at.")] = "127.0.0.1",
    share: Annotated[bool, option("--share", "Make the page public, too, by a link through Gradio's servers.")] = False,
    space: Annotated[
        Path | None, option("--space FOLDER", "Write the folder of a Hub Space that runs the demo, and serve nothing.")
    ] = None,
) -> None:
    """Try a model in the browser: similarities, neighbors, words, tokens, a demonstration's effect.

    This machine computes. Only this machine can open the page, unless you give --host or --share (extra: demo).
    """
    if folder is not None and model is not None:
        raise SettingError(f"two models, {folder!r} and --model {model!r}: give one of them")
    if space is not None and share:
        raise SettingError("--space writes a folder, and --share serves: give one of them")
    check_extra("demo", "gradio")
    name = folder or model
    options.check(name)
    loaded = options.load(name)
    with console.waiting("starting"):
        from prompteol.demo import build_app, launch_app, write_space

        title = Path(name or "prompteol").name
        if space is not None:
            on_hub = name if name and not Path(name).exists() and not options.changes_model() else None
            write_space(space, loaded, title, hub_name=on_hub, revision=options.revision)
            console.note(f"try it: python {space / 'app.py'}")
            console.note(f"publish it: hf upload NAME {space} --repo-type space")
            return
        app = build_app(loaded, title)
        address = launch_app(app, host=host, port=port, share=share, wait=False)
    console.note(f"{address} shows it; Ctrl-C ends it")
    if share:
        console.note(f"{app.share_url} shows it to everybody who has this link")
    try:
        app.block_thread()
    finally:
        app.close(verbose=False)
