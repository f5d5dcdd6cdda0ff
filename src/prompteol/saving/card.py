"""Write the model card: use first, then the prompt on an example, what was measured, servers, limits and license."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from huggingface_hub import CardData, ModelCard
from yaml import YAMLError  # type: ignore[import-untyped]

from prompteol.prompts import Demonstration, PromptTemplate
from prompteol.saving.manifest import Manifest

TRAINING_HEADING = "\n## Training\n\n"
SCORES_HEADING = "## Scores"
#: Stands for the model's name until it has one on the Hub.
PLACEHOLDER = "sentence_transformers_model_id"
_EXAMPLE = "A man is playing a guitar."
_OTHERS = ("Someone makes music.", "The stock market fell.")

_USE = """\
```bash
pip install -U "sentence-transformers>=5.6"
```

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer({name})
{lines}
```
"""
_ALIKE = """\
sentences = ["{}", "{}", "{}"]
vectors = model.encode(sentences)  # {} numbers each
print(model.similarity(vectors, vectors))"""
_SEARCH = """\
query = model.encode_query("{}")
documents = model.encode_document(["{}", "{}"])  # {} numbers each
print(model.similarity(query, documents))"""
_PORTABLE = """\
Nothing else is needed: the prompt is this model's chat template, which sentence-transformers (5.6 or later) renders
without further code. The package `prompteol` gives the same vectors, computes the prompt's beginning once for all
texts, and shows the words that the model would say (`PromptEOL({}).words("...")`).
"""
_BY_TECHNIQUE = """\
**This model needs the package `prompteol`** (`pip install prompteol`): it embeds by the technique {}, which no stock
module holds. `PromptEOL(...)` loads it; `SentenceTransformer(..., trust_remote_code=True)` does too where the package
is installed, and refuses it elsewhere.
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
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class CardFacts:
    """Hold what a card says of a model beside its prompt: its ``name`` on the Hub, if any, and a ``title``.

    ``adapter`` tells that the folder holds an adapter, and not its base.
    """

    name: str | None
    title: str
    dimension: int | None
    max_tokens: int | None
    adapter: bool = False

    @property
    def limit(self) -> str:
        """How long a prompt may be."""
        return f"at most {self.max_tokens:,} tokens" if self.max_tokens else "any number of tokens"


def write_card(stock: str, manifest: Manifest, facts: CardFacts, notes: str = "") -> str:
    """Return the card of a saved model.

    Args:
        stock: the card that sentence-transformers writes; its metadata, evaluation and training sections are kept.
        manifest: the prompt and how it came to be.
        facts: what the model itself says.
        notes: the section on the training, which ends the card.
    """
    data = ModelCard(stock, ignore_metadata_errors=True).data
    base = _base(data)
    _complete(data, facts, trained=bool(notes))
    name = facts.name or PLACEHOLDER
    sections = [
        f"# {inline(facts.title)}",
        _summary(base, manifest, facts, notes),
        "## Use\n\n" + _use(manifest, facts, json.dumps(name)),
        "## The prompt\n\n" + _prompts(manifest),
        "## What it computes\n\n" + _computation(manifest, facts),
        *_kept(stock, "Evaluation"),
        f"{SCORES_HEADING}\n\n" + _scores(shlex.quote(name)),
        "## Servers\n\n" + _servers(manifest, shlex.quote(name)),
        "## Limits\n\n" + _limits(facts),
        "## License\n\n" + _license(data, base),
        "## Citation\n\n" + _CITATION.rstrip(),
        *_kept(stock, "Training Details"),
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n" + notes


def code_block(text: str) -> str:
    """Return a text as a block of code that nothing in it can end: each line is indented."""
    return "\n".join(f"    {line}" for line in re.split(r"\r\n|\r|\n", text))


def inline(text: object) -> str:
    """Return a text as it stands within a paragraph or a table, with no markup in it."""
    flat = " ".join(str(text).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", flat)


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
    if data.get("base_model") and (facts.adapter or trained):
        data["base_model_relation"] = "adapter" if facts.adapter else "finetune"


def _summary(base: str | None, manifest: Manifest, facts: CardFacts, notes: str) -> str:
    of = f"[{base}](https://huggingface.co/{base})" if base else "a causal language model"
    untouched = not facts.adapter and "weights" not in manifest.provenance
    how = ", fine-tuned to embed" if notes or facts.adapter else ", without further training" if untouched else ""
    return (
        f"Sentence embeddings by {of}{how}: each text is put into a prompt that asks for its meaning, and the "
        "hidden state of the prompt's last token is the text's vector (PromptEOL)."
    )


def _use(manifest: Manifest, facts: CardFacts, name: str) -> str:
    lines = _ALIKE if isinstance(manifest.template, PromptTemplate) else _SEARCH
    use = _USE.format(name=name, lines=lines.format(_EXAMPLE, *_OTHERS, facts.dimension))
    if manifest.technique is None:
        return f"{use}\n{_PORTABLE.format(name)}".rstrip()
    technique = f"`{manifest.technique['name']}`"
    return (
        _BY_TECHNIQUE.format(technique)
        + "\n```python\nfrom prompteol import PromptEOL\n\n"
        + (f"model = PromptEOL({name})\n{lines.format(_EXAMPLE, *_OTHERS, facts.dimension)}\n```")
    )


def _prompts(manifest: Manifest) -> str:
    template = manifest.template
    if isinstance(template, PromptTemplate):
        return _prompt("A text", template)
    return _prompt("A query", template.query) + "\n\n" + _prompt("A document", template.document)


def _prompt(what: str, template: PromptTemplate) -> str:
    shown = template.demonstrations
    about = f"{what} such as *{_EXAMPLE}* is read as (`{template.normalization}` normalization):"
    said = f"{about}\n\n{code_block(template.render(_EXAMPLE))}"
    if not shown:
        return f"{said}\n\nNo demonstrations are shown before it."
    count = "One demonstration is" if len(shown) == 1 else f"{len(shown)} demonstrations are"
    return f"{said}\n\n{count} shown before it:\n\n{_table(shown)}"


def _table(shown: tuple[Demonstration, ...]) -> str:
    rows = (f"| {inline(one.sentence)} | {inline(one.word)} |" for one in shown)
    return "\n".join(("| sentence | its word |", "|---|---|", *rows))


def _computation(manifest: Manifest, facts: CardFacts) -> str:
    lines = [
        f"- Layer `{manifest.layer}`: a negative index of the hidden states; `-1` is the last, after the final norm",
        f"- {facts.dimension} numbers a vector; {facts.limit} are read, the prompt's included",
    ]
    lines += [f"- How the {inline(what)} came to be: {inline(how)}" for what, how in manifest.provenance.items()]
    return "\n".join([*lines, f"- Fingerprint of weights, tokenizer, prompt and layer: `{manifest.fingerprint}`"])


def _scores(name: str) -> str:
    return (
        "None yet. This measures them as the paper did, and writes them here:\n\n"
        f"```bash\nprompteol evaluate -m {name} --tasks sts --card README.md\n```"
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


def _limits(facts: CardFacts) -> str:
    return (
        "It embeds sentences. On long documents mean pooling does better; cut them into sentences first. Of a longer "
        f"text and its prompt, {facts.limit} are read, and the text is cut. It knows the languages and has "
        "the biases of the language model that it is made of. Vectors of another prompt or layer are not comparable, "
        "even of the same weights."
    )


def _license(data: CardData, base: str | None) -> str:
    license = data.get("license_name") or data.get("license")
    whose = f"of [{base}](https://huggingface.co/{base})" if base else "of its base model"
    if license:
        return f"`{license}`, as {whose.removeprefix('of ')} states." if base else f"`{license}`."
    return f"The license {whose} holds for these weights; it states none that could be read when this was written."


def _kept(stock: str, heading: str) -> Iterator[str]:
    """Yield a section of the stock card that says more than versions: scores of evaluators, a trainer's settings."""
    found = re.search(rf"^## {heading}\n.*?(?=^## |^<!--\n## |\Z)", stock, re.DOTALL | re.MULTILINE)
    if found and (heading == "Evaluation" or re.search(r"### Training (Dataset|Hyper|Logs)", found[0])):
        yield found[0].strip()
