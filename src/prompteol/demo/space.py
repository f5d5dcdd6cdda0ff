"""Write the folder of a Hub Space that runs the demo: its app, its requirements, and its card."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import SpaceCardData

from prompteol import PromptEOL
from prompteol.errors import CorpusError
from prompteol.extras import check_extra

_MODEL_FOLDER = "model"
_APP = '''\
"""Sentence vectors of a language model, by prompteol; written by ``prompteol demo --space``."""

from pathlib import Path

from prompteol import PromptEOL
from prompteol.demo import build_app, look

here = Path(__file__).parent
app = build_app(PromptEOL({model}), {name!r})

if __name__ == "__main__":
    # A Space tells Gradio the address by its environment; elsewhere it is this machine alone.
    app.launch(**look())
'''
_CARD = """\
---
{front_matter}
---

# Sentence vectors

Write sentences, and see their similarity, their neighbors, the words the model would say and the tokens it reads, with
a demonstration and without. Run it at home: `pip install -r requirements.txt && python app.py`.
"""


def write_space(
    out: Path, model: PromptEOL, name: str, *, hub_name: str | None = None, revision: str | None = None
) -> None:
    """Write ``app.py``, ``requirements.txt`` and ``README.md``, and the model beside them unless the Hub has it.

    Args:
        out: the folder to make; one that holds other files is refused.
        model: the model, whose prompt, layer and techniques the Space has too.
        name: what the Space is called.
        hub_name: the name by which the Hub has this very model; without it, the model is saved in ``model/``.
        revision: the revision there.
    """
    check_extra("demo", "gradio")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CorpusError(f"{str(out)!r} exists already: name a folder that does not")
    if not out.resolve().parent.is_dir():
        raise CorpusError(f"{str(out.parent)!r} does not exist; make it first")
    out.mkdir(exist_ok=True)
    if hub_name:
        argument = repr(hub_name) + (f", revision={revision!r}" if revision else "")
    else:
        model.save_pretrained(str(out / _MODEL_FOLDER))
        argument = f'here / "{_MODEL_FOLDER}"'
    license = model.model_card_data.license
    data = SpaceCardData(
        title=_title(name),
        sdk="gradio",
        sdk_version=version("gradio"),
        app_file="app.py",
        license=license if isinstance(license, str) else None,
        models=[hub_name] if hub_name else None,
        emoji="🧭",
        colorFrom="blue",
        colorTo="gray",
        short_description="Sentence vectors, words and tokens of a language model",
    )
    (out / "app.py").write_text(_APP.format(model=argument, name=_title(name)), encoding="utf-8")
    # Gradio itself comes with the Space, in the version that the card names.
    requirement = f"prompteol>={version('prompteol')}\n"
    (out / "requirements.txt").write_text(requirement, encoding="utf-8")
    (out / "README.md").write_text(_CARD.format(front_matter=data.to_yaml()), encoding="utf-8")


def _title(name: str) -> str:
    """Return a short title in one line, of a model's name without its folders."""
    return re.sub(r"[^\w .+-]", " ", Path(name).name)[:60].strip() or "prompteol"
