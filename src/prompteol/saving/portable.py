"""Save a model so that any sentence-transformers loads it, without this package and without a flag; write its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from yaml import YAMLError  # type: ignore[import-untyped]

from prompteol.errors import SettingError
from prompteol.model import ADAPTER, MANIFEST
from prompteol.prompts import PromptTemplate
from prompteol.saving.manifest import UNFINISHED, Manifest
from prompteol.saving.stock_files import old_pooling_keys, open_weights

TRAINING_HEADING = "\n## Training\n\n"
_PLACEHOLDER = "sentence_transformers_model_id"
_PORTABLE = """\
Each text is put into a prompt, and the hidden state of the prompt's last token is its embedding. The prompt
is this model's chat template, so plain sentence-transformers (5.6 or later) renders it without further code.
"""
_BY_TECHNIQUE = """\
**This model needs the package `prompteol`**: it embeds by the technique `{}`, which no stock module holds.
`PromptEOL(...)` loads it; `SentenceTransformer(..., trust_remote_code=True)` does too where the package is
installed, and refuses it elsewhere.
"""
_CITATION = """\
```bibtex
@inproceedings{jiang-etal-2024-scaling,
    title = "Scaling Sentence Embeddings with Large Language Models",
    author = "Jiang, Ting and Huang, Shaohan and Luan, Zhongzhi and Wang, Deqing and Zhuang, Fuzhen",
    booktitle = "Findings of the Association for Computational Linguistics: EMNLP 2024",
    year = "2024",
    pages = "3182--3196"
}
```
"""


def save_portable(
    stock: SentenceTransformer,
    path: str | Path,
    manifest: Manifest,
    *,
    card: str | bool = True,
    training_notes: str = "",
    **options: Any,
) -> None:
    """Save a model of stock modules, with what this package knows about it beside them.

    ``prompteol.json`` is written last: a folder that has it is complete. ``card`` is the text of ``README.md``;
    ``True`` writes a new one, which ``training_notes`` end, ``False`` none. ``options`` go to
    ``SentenceTransformer.save``.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SettingError(f"{str(path)!r} cannot be a folder, as a file lies there: give another name") from error
    # Until the manifest takes its place, it tells a save that was broken off from one by a stock loader.
    (folder / UNFINISHED).touch()
    # Of what lay here, an adapter would be put on a whole model, and a whole model come before an adapter's base.
    for stale in (MANIFEST, ADAPTER, "adapter_model.safetensors", "adapter_model.bin"):
        (folder / stale).unlink(missing_ok=True)
    stock.save(str(path), create_model_card=card is True, **options)
    if (folder / ADAPTER).exists():
        base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
        if Path(base).resolve() != folder.resolve():
            (folder / "config.json").unlink(missing_ok=True)
    readme = folder / "README.md"
    if isinstance(card, str):
        # As the stock library fills in the name that a model is pushed under.
        name = stock.model_card_data.model_id
        readme.write_text(card.replace(_PLACEHOLDER, name) if name else card, encoding="utf-8")
    elif card:
        stated = readme.read_text(encoding="utf-8")
        if not training_notes:
            stated = stated.replace(" model trained. ", " model. ", 1)
        whole = stated + "\n" + _prompt_section(manifest) + training_notes
        readme.write_text(whole, encoding="utf-8")
    for index, module in enumerate(stock):
        if isinstance(module, Pooling):
            file = folder / f"{index}_Pooling" / "config.json"
            config = json.loads(file.read_text(encoding="utf-8"))
            config |= old_pooling_keys(module.pooling_mode)
            file.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    manifest.write(path)
    open_weights(folder, like=MANIFEST)


def _prompt_section(manifest: Manifest) -> str:
    """Write the section of a model card on the prompt."""
    template = manifest.template
    if isinstance(template, PromptTemplate):
        prompts = _prompt("Prompt", template)
    else:
        prompts = _prompt("Prompt of a query", template.query) + _prompt("Prompt of a document", template.document)
    made = "".join(f"- How the {what} came to be: {how}\n" for what, how in manifest.provenance.items())
    return f"""\
## PromptEOL

{_PORTABLE if manifest.technique is None else _BY_TECHNIQUE.format(manifest.technique["name"])}
{prompts}\
- Layer: `{manifest.layer}` (negative index of the hidden states; `-1` is the last, after the final norm)
{made}\
- Fingerprint: `{manifest.fingerprint}`

It embeds sentences. On long documents mean pooling does better; cut them into sentences first.

{_CITATION}"""


def _prompt(name: str, template: PromptTemplate) -> str:
    shown = len(template.demonstrations)
    return (
        f"{name}, `{template.normalization}` normalization, {shown} demonstrations:\n\n````text\n{template}\n````\n\n"
    )


def stated_license(card: str) -> str | None:
    """Return the license in the metadata of a card, or ``None`` where there is none, or none that can be read."""
    if not card.lstrip().startswith("---"):
        return None
    try:
        license = ModelCard(card).data.get("license")
    except (ValueError, YAMLError):
        return None
    stated = license if isinstance(license, list) else [license] if license else []
    return ", ".join(map(str, stated)) or None


def training_notes(card: str) -> str:
    """Return the section on training, which ends a card, or nothing."""
    _, heading, section = card.partition(TRAINING_HEADING)
    return heading + section
