"""Build and run the demo: an app of Gradio around the panels of one model."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prompteol import PromptEOL
from prompteol.demo.markup import CSS, cards, changes_table, moves_table, prompt_text, similarity_table
from prompteol.demo.panels import Panels
from prompteol.errors import PromptEOLError, SettingError
from prompteol.extras import check_extra
from prompteol.prompts import Demonstration

LOOPBACK = "127.0.0.1"
_SENTENCES = """\
A man is playing a guitar.
Someone makes music on the street.
Two dogs run through the snow.
The stock market fell sharply today."""
# Gradio's own would be fetched from Google.
_FONTS = ["system-ui", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]


def build_app(model: PromptEOL, name: str = "") -> Any:
    """Return the app, a ``gradio.Blocks``, for a model; ``launch_app`` or its own ``launch`` runs it.

    Raises:
        MissingExtraError: gradio is not installed.
    """
    gradio = _gradio()
    panels = Panels(model)
    with gradio.Blocks(title="Sentence vectors", analytics_enabled=False) as app:
        gradio.Markdown("# Sentence vectors")
        gradio.Markdown(
            "A language model reads each sentence inside a prompt that asks for one word. The state from which it "
            "would say that word is the sentence's vector." + (f" Model: **{_plain(name)}**" if name else "")
        )
        texts = gradio.Textbox(_SENTENCES, lines=5, max_lines=16, label="Sentences, one a line")
        task = gradio.Radio(
            ["query", "document"], value="document", label="Prompt for", visible=panels.is_pair, interactive=True
        )
        compare = gradio.Button("Compare", variant="primary")
        status = gradio.Markdown(elem_classes=["eol-status"])
        similarity = gradio.HTML(label="Similarity")
        each = gradio.HTML(label="Each sentence")
        with gradio.Column(visible=panels.one_prompt):
            gradio.Markdown("## Show the model an example\nA sentence, and the one word that sums it up.")
            sentence = gradio.Textbox("A jockey riding a horse.", label="Demonstration: a sentence", max_lines=1)
            word = gradio.Textbox("Equestrian", label="Its one word", max_lines=1)
            show = gradio.Button("Show its effect")
        effect_status = gradio.Markdown()
        effect = gradio.HTML(label="With and without the demonstration")
        prompt = gradio.HTML(label="What the model reads")

        def compared(written: str, chosen: str) -> tuple[str, ...]:
            some, left = panels.read(written)
            views = panels.views(some, _task(panels, chosen))
            cut = sum(view.cut for view in views)
            said = f"{len(views)} embedded, see below." + (f" {left} more were left out." if left else "")
            return said + (f" {cut} cut to what the model takes." if cut else ""), similarity_table(views), cards(views)

        def shown(written: str, chosen: str, sentence: str | None, word: str | None) -> tuple[str, ...]:
            (some, _), task = panels.read(written), _task(panels, chosen)
            demonstration = Demonstration((sentence or "").strip(), (word or "").strip())
            after, before = panels.views(some, task, demonstration), panels.views(some, task)
            whole = prompt_text(panels.rendered(some[0], task, demonstration))
            return "With the demonstration:", moves_table(before, after) + changes_table(before, after), whole

        inputs, found = [texts, task], [status, similarity, each]
        changed = [effect_status, effect, prompt]
        # One at a time: the model computes on all cores as it is.
        options: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
        compare.click(_in_one_line(compared, 3), inputs, found, api_name="compare", **options)
        show.click(_in_one_line(shown, 3), [*inputs, sentence, word], changed, api_name="demonstration", **options)
    return app


def launch_app(
    app: Any, *, host: str = LOOPBACK, port: int | None = None, share: bool = False, wait: bool = True
) -> Any:
    """Serve the app on this machine alone, unless another ``host`` or ``share`` says otherwise.

    Args:
        app: what :func:`build_app` made.
        host: the address to listen on.
        port: the first free one from 7860 on, if ``None``.
        share: open a public link through Gradio's servers.
        wait: return when it is stopped; else at once.

    Returns:
        The address.

    Raises:
        SettingError: the port is taken.
    """
    try:
        _, address, _ = app.launch(
            server_name=host, server_port=port, share=share, prevent_thread_lock=True, quiet=True, inbrowser=False,
            enable_monitoring=False, **look(),
        )  # fmt: skip
    except OSError as error:
        raise SettingError(f"nothing can be served at {host}:{port or 7860}: choose another --port") from error
    if wait:
        app.block_thread()
    return address


def look() -> dict[str, Any]:
    """Return the arguments of ``launch`` that decide how the app looks: its style, and fonts of the machine."""
    gradio = _gradio()
    theme = gradio.themes.Default(primary_hue="blue", font=_FONTS, font_mono=_MONO)
    # White on the theme's own color has a contrast below 4.5.
    fills = ("button_primary_background_fill", "button_primary_background_fill_hover")
    theme.set(**{name + dark: "*primary_700" for name in fills for dark in ("", "_dark")})
    return {"theme": theme, "css": CSS, "footer_links": [], "ssr_mode": False, "run_history": False}


def _gradio() -> Any:
    """Import Gradio with its telemetry off."""
    check_extra("demo", "gradio")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio

    return gradio


def _task(panels: Panels, chosen: str) -> Any:
    return chosen if panels.is_pair else None


def _in_one_line(compute: Callable[..., tuple[str, ...]], outputs: int) -> Callable[..., tuple[str, ...]]:
    """Show a known failure in the first output, as one line, and leave the others empty."""

    def call(*given: str) -> tuple[str, ...]:
        try:
            return compute(*given)
        except PromptEOLError as error:
            return (_plain(str(error)), *[""] * (outputs - 1))

    return call


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would read as its own."""
    return "".join(f"&#{ord(letter)};" if not letter.isalnum() and letter not in " .,:;" else letter for letter in text)
