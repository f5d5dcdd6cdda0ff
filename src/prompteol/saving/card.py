"""Write the model card: use first, then the prompt on an example, what was measured, servers, limits and license."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from huggingface_hub import CardData, ModelCard
from yaml import YAMLError  # type: ignore[import-untyped]

from prompteol.prompts import PromptTemplate
from prompteol.saving.card_sections import (
    CITATION,
    SCORES_HEADING,
    CardFacts,
    computation,
    inline,
    is_hub_name,
    license_of,
    limits,
    prompts,
    summary,
    use,
)
from prompteol.saving.manifest import Manifest

TRAINING_HEADING = "\n## Training\n\n"
_SENTENCE_TRANSFORMERS = '"sentence-transformers>=5.6"'
_PORTABLE = """\
Nothing else is needed: the prompt is this model's chat template, which sentence-transformers (5.6 or later) renders
without further code. The package `prompteol` gives the same vectors, computes the prompt's beginning once for all
texts, and shows the words that the model would say (`PromptEOL(...).words("...")`).
"""
_ADAPTER = """\
These files are an adapter, which `peft` puts on its base; the base is loaded by the name in
`adapter_config.json`.
"""
_BY_TECHNIQUE = """\
**This model needs the package `prompteol`**: it embeds by the technique {}, which no stock
module holds. `PromptEOL(...)` loads it; `SentenceTransformer(..., trust_remote_code=True)` does too where the package
is installed, and refuses it elsewhere.
"""
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def write_card(stock: str, manifest: Manifest, facts: CardFacts, notes: str = "") -> str:
    """Return the card of a saved model.

    Args:
        stock: the card that sentence-transformers writes; its metadata, evaluation and training sections are kept.
        manifest: the prompt and how it came to be.
        facts: what the model itself says.
        notes: the section on the training, which ends the card.
    """
    data = ModelCard(stock, ignore_metadata_errors=True).data
    return compose_card(
        data,
        manifest,
        facts,
        use=_use(manifest, facts),
        measured=[*_kept(stock, "Evaluation"), f"{SCORES_HEADING}\n\n{_scores(facts, trained=bool(notes))}"],
        servers=_servers(manifest, facts.argument),
        appended=_kept(stock, "Training Details"),
        notes=notes,
    )


def compose_card(
    data: CardData,
    manifest: Manifest,
    facts: CardFacts,
    *,
    use: str,
    measured: Iterable[str],
    servers: str,
    appended: Iterable[str] = (),
    notes: str = "",
) -> str:
    """Return a card of the sections that every card has, around those that differ from kind to kind.

    Args:
        data: the metadata, which is completed.
        manifest: the prompt and how it came to be.
        facts: what the model itself says.
        use: how the model is loaded.
        measured: sections on what was measured, with their headings.
        servers: how the model is served.
        appended: sections behind the citation, with their headings.
        notes: the section on the training, which ends the card.
    """
    _complete(data, facts, trained=bool(notes))
    base = _base(data)
    sections = [
        f"# {inline(facts.title)}",
        summary(base, manifest, facts, trained=bool(notes)),
        f"## Use\n\n{use}",
        f"## The prompt\n\n{prompts(manifest.template)}",
        f"## What it computes\n\n{computation(manifest, facts)}",
        *measured,
        f"## Servers\n\n{servers}",
        f"## Limits\n\n{limits(facts)}",
        f"## License\n\n{license_of(data, base)}",
        f"## Citation\n\n{CITATION}",
        *appended,
    ]
    body = "\n\n".join(section.rstrip() for section in sections)
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n{notes}"


def folder_name(path: str | Path) -> str:
    """Return the name by which a folder is found from beside it."""
    return Path(path).resolve().name or "model"


def named(card: str) -> str | None:
    """Return the name that a card loads its model by, or ``None`` where no line does."""
    found = re.search(r'^model = (?:SentenceTransformer|PromptEOL)\(("(?:[^"\\\n]|\\.)*")[,)]', card, re.MULTILINE)
    try:
        return None if found is None else str(json.loads(found[1]))
    except ValueError:
        return None


def renamed(card: str, facts: CardFacts, revision: str | None = None) -> str:
    """Return a card with another name of the model in its title, its use, its commands and its scores' metadata.

    Only lines of the forms that this module writes change. A name on the Hub stays where the new one is a folder's.
    """
    old, new = named(card), facts.title
    if old is None or ("/" in old and "/" not in new):
        return card
    arguments = facts.quoted + (f", revision={json.dumps(revision)}" if revision else "")
    # The cards of version 0.1 had titles such as "prompteol/my-model".
    title = rf"# (?:{re.escape(inline(old))}|prompteol/\S+)"
    loaded = rf"(?P<load>model = (?:SentenceTransformer|PromptEOL)\()(?:{_either(old)})(?=[,)])"
    command = rf"(?P<run>prompteol \w+ -m ){re.escape(shlex.quote(old))}(?= |$)"
    written = rf"(?P<sts>prompteol evaluate -m .* --tasks sts --card ){re.escape(CardFacts(old).card)}"
    front, rule, body = card.partition("\n---\n") if card.startswith("---\n") else ("", "", card)
    front = re.sub(rf"^- name: {re.escape(old)}$", lambda _: f"- name: {new}", front, flags=re.MULTILINE)
    body = re.sub(rf"^{title}$", lambda _: f"# {inline(new)}", body, count=1, flags=re.MULTILINE)
    body = re.sub(f"^{loaded}", lambda found: found["load"] + arguments, body, flags=re.MULTILINE)
    body = re.sub(f"^{command}", lambda found: found["run"] + facts.argument, body, flags=re.MULTILINE)
    body = re.sub(f"^{written}$", lambda found: found["sts"] + facts.card, body, flags=re.MULTILINE)
    return front + rule + body


def stated(card: str, field: str) -> str | None:
    """Return a field of a card's metadata, or ``None`` where there is none, or none that can be read."""
    if not card.lstrip().startswith("---"):
        return None
    try:
        value = ModelCard(card, ignore_metadata_errors=True).data.get(field)
    except (ValueError, YAMLError):
        return None
    values = value if isinstance(value, list) else [value] if value else []
    return ", ".join(map(str, values)) or None


def training_notes(card: str) -> str:
    """Return the section on training, which ends a card, or nothing."""
    _, heading, section = card.partition(TRAINING_HEADING)
    return heading + section


def _either(name: str) -> str:
    """Return an expression for a name as a string of Python, with and without escapes."""
    return "|".join(re.escape(json.dumps(name, ensure_ascii=ascii)) for ascii in (True, False))


def _base(data: CardData) -> str | None:
    base = data.get("base_model")
    return base if isinstance(base, str) else str(base[0]) if base else None


def _complete(data: CardData, facts: CardFacts, *, trained: bool) -> None:
    """Make metadata what the Hub takes: a license it does not know is ``other``, with its name."""
    license = data.get("license")
    if license is not None and not (isinstance(license, str) and _IDENTIFIER.fullmatch(license)):
        name = re.sub(r"[^a-z0-9.+-]+", "-", str(license).lower()).strip("-")
        data["license"], data["license_name"] = "other", name
    data["library_name"], data["pipeline_tag"] = "sentence-transformers", "sentence-similarity"
    tags = [*(data.get("tags") or []), "prompteol"]
    data["tags"] = list(dict.fromkeys(tags))
    if not is_hub_name(_base(data)):
        data.pop("base_model", None)
    if data.get("base_model") and (facts.adapter or trained):
        data["base_model_relation"] = "adapter" if facts.adapter else "finetune"


def _use(manifest: Manifest, facts: CardFacts) -> str:
    if manifest.technique is not None:
        technique = f"`{manifest.technique['name']}`"
        package = "'prompteol[adapters]'" if facts.adapter else "prompteol"
        return f"{_BY_TECHNIQUE.format(technique)}\n{use(manifest.template, facts, package, stock=False)}"
    packages = f"{_SENTENCE_TRANSFORMERS} peft" if facts.adapter else _SENTENCE_TRANSFORMERS
    lines = f"{use(manifest.template, facts, packages)}\n"
    return f"{lines}{_ADAPTER}{_PORTABLE}" if facts.adapter else f"{lines}{_PORTABLE}"


def _scores(facts: CardFacts, *, trained: bool) -> str:
    none = "None yet but for what is said under Training." if trained else "None yet."
    return (
        f"{none} This measures them as the paper did, and writes them here:\n\n"
        f"```bash\nprompteol evaluate -m {facts.argument} --tasks sts --card {facts.card}\n```"
    )


def _servers(manifest: Manifest, name: str) -> str:
    if manifest.technique is not None:
        return "No server computes this technique: encode with the package itself."
    one = "" if isinstance(manifest.template, PromptTemplate) else " --task document"
    return (
        "A server is sent plain text, so its tokenizer must write the prompt. This makes such a folder, loads it again "
        f"and compares:\n\n```bash\nprompteol export -m {name} -o served{one}\n"
        "vllm serve served --runner pooling\n```\n\nThe README of the folder `served` has the commands of Text "
        "Embeddings Inference and infinity, too."
    )


def _kept(stock: str, heading: str) -> Iterator[str]:
    """Yield a section of the stock card that says more than versions: scores of evaluators, a trainer's settings."""
    found = re.search(rf"^## {heading}\n.*?(?=^## |^<!--\n## |\Z)", stock, re.DOTALL | re.MULTILINE)
    if found and (heading == "Evaluation" or re.search(r"### Training (Dataset|Hyper|Logs)", found[0])):
        yield found[0].strip()
