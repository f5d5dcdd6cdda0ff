"""The model card: the section on the prompt, which the stock card lacks, and what a new card takes from an old one."""

from __future__ import annotations

from huggingface_hub import ModelCard
from yaml import YAMLError  # type: ignore[import-untyped]

from prompteol.prompts import PromptTemplate, RetrievalTemplate
from prompteol.saving.manifest import Manifest

__all__ = ["TRAINING_HEADING", "prompt_section", "stated_license", "training_notes"]

TRAINING_HEADING = "\n## Training\n\n"

_CITATION = """\
```bibtex
@inproceedings{jiang-etal-2024-scaling,
    title = "Scaling Sentence Embeddings with Large Language Models",
    author = "Jiang, Ting and Huang, Shaohan and Luan, Zhongzhi and Wang, Deqing and Zhuang, Fuzhen",
    booktitle = "Findings of the Association for Computational Linguistics: EMNLP 2024",
    year = "2024",
    pages = "3182--3196"
}
```"""


def prompt_section(manifest: Manifest) -> str:
    """Write the section in Markdown."""
    lines = [
        "## PromptEOL",
        "",
        "Each text is put into a prompt, and the hidden state of the prompt's last token is its embedding. The prompt",
        "is this model's chat template, so plain sentence-transformers (5.6 or later) renders it without further code.",
        "",
        *_prompts(manifest.template),
        f"- Layer: `{manifest.layer}` (negative index of the hidden states; `-1` is the last, after the final norm)",
        *(f"- How the {what} came to be: {how}" for what, how in manifest.provenance.items()),
        f"- Fingerprint: `{manifest.fingerprint}`",
        "",
        "It embeds sentences. On long documents mean pooling does better; cut them into sentences first.",
        "",
        _CITATION,
        "",
    ]
    return "\n".join(lines)


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


def _prompts(template: PromptTemplate | RetrievalTemplate) -> list[str]:
    if isinstance(template, PromptTemplate):
        return _prompt("Prompt", template)
    return [*_prompt("Prompt of a query", template.query), *_prompt("Prompt of a document", template.document)]


def _prompt(name: str, template: PromptTemplate) -> list[str]:
    return [
        f"{name}, `{template.normalization}` normalization, {len(template.demonstrations)} demonstrations:",
        "",
        "````text",
        str(template),
        "````",
        "",
    ]
