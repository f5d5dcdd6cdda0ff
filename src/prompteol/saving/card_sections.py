"""Write the sections that the cards of saved models and of exported folders share."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from huggingface_hub import CardData

from prompteol.prompts import Demonstration, PromptTemplate, Template
from prompteol.saving.manifest import Manifest

SCORES_HEADING = "## Scores"
_EXAMPLE = "A man is playing a guitar."
_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_OTHERS = ("Someone makes music.", "The stock market fell.")

_USE = """\
```bash
pip install -U {packages}
```

```python
from {package} import {kind}
{imported}
model = {kind}({name})
{own}{lines}
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
CITATION = """\
```bibtex
@inproceedings{jiang-etal-2024-scaling,
    title = "Scaling Sentence Embeddings with Large Language Models",
    author = "Jiang, Ting and Huang, Shaohan and Luan, Zhongzhi and Wang, Deqing and Zhuang, Fuzhen",
    booktitle = "Findings of the Association for Computational Linguistics: EMNLP 2024",
    year = "2024",
    pages = "3182--3196"
}
```"""


@dataclass(frozen=True)
class CardFacts:
    """Hold what a card says of a model beside its prompt.

    ``name`` is its name on the Hub, or that of its folder; ``architecture`` the ``model_type`` of its configuration;
    ``adapter`` tells that the folder holds an adapter, and not its base.
    """

    name: str
    dimension: int | None = None
    max_tokens: int | None = None
    architecture: str | None = None
    adapter: bool = False

    @property
    def title(self) -> str:
        """The name on one line: that of a folder may hold anything but a slash."""
        whole = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", self.name)
        return whole.encode("utf-8", "replace").decode().strip() or "model"

    @property
    def quoted(self) -> str:
        """The name as a string of Python."""
        return quoted(self.title)

    @property
    def argument(self) -> str:
        """The name as an argument in a shell."""
        return shlex.quote(self.title)

    @property
    def card(self) -> str:
        """The card as an argument in a shell: within the folder, or what was downloaded of a repository."""
        return "README.md" if "/" in self.title else shlex.quote(f"{self.title}/README.md")

    @property
    def limit(self) -> str:
        """How long a prompt may be."""
        return f"at most {self.max_tokens:,} tokens" if self.max_tokens else "any number of tokens"


def quoted(text: str) -> str:
    """Return a text as a string of Python."""
    return json.dumps(text, ensure_ascii=False)


def code_block(text: str) -> str:
    """Return a text as a block of code that nothing in it can end: each line is indented."""
    return "\n".join(f"    {line}" for line in re.split(r"\r\n|\r|\n", text))


def inline(text: object) -> str:
    """Return a text as it stands within a paragraph or a table, with no markup in it."""
    flat = " ".join(str(text).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", flat)


def code_span(text: object) -> str:
    """Return a text as code within a line, between more backticks than stand together in it."""
    flat = " ".join(str(text).split())
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    gap = " " if "`" in flat else ""
    return f"{fence}{gap}{flat}{gap}{fence}"


def is_hub_name(name: object) -> bool:
    """Tell whether the Hub could have a repository of this name."""
    return isinstance(name, str) and _HUB_NAME.fullmatch(name) is not None


def linked(base: str) -> str:
    """Return the name of a model on the Hub with a link to it."""
    return f"[{inline(base)}](https://huggingface.co/{base})"


def summary(base: str | None, manifest: Manifest, facts: CardFacts, *, trained: bool) -> str:
    """Say in a sentence what the model is, and what it is made of."""
    kind = f" of the architecture `{facts.architecture}`" if facts.architecture else ""
    of = linked(base) if base else f"a causal language model{kind}"
    untouched = not facts.adapter and "weights" not in manifest.provenance
    how = ", fine-tuned to embed" if trained or facts.adapter else ", without further training" if untouched else ""
    return (
        f"Sentence embeddings by {of}{how}: each text is put into a prompt that asks for its meaning, and the "
        "hidden state of the prompt's last token is the text's vector (PromptEOL)."
    )


def use(
    template: Template, facts: CardFacts, packages: str, *, stock: bool = True, tokenizer: str | None = None
) -> str:
    """Return the lines that load a model and embed three texts: by sentence-transformers, or by this package.

    ``tokenizer`` is the folder of the tokenizer, where it is not that of the model.
    """
    lines = _ALIKE if isinstance(template, PromptTemplate) else _SEARCH
    return _USE.format(
        packages=packages,
        package="sentence_transformers" if stock else "prompteol",
        kind="SentenceTransformer" if stock else "PromptEOL",
        name=facts.quoted,
        imported="from transformers import AutoTokenizer\n" if tokenizer else "",
        own=f"model[0].processor = AutoTokenizer.from_pretrained({quoted(tokenizer)})\n" if tokenizer else "",
        lines=lines.format(_EXAMPLE, *_OTHERS, facts.dimension),
    )


def prompts(template: Template) -> str:
    """Show what is read of an example, and the demonstrations."""
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


def computation(manifest: Manifest, facts: CardFacts) -> str:
    """List layer, dimension and length, how each setting came to be, and the fingerprint."""
    lines = [
        f"- Layer `{manifest.layer}`: a negative index of the hidden states; `-1` is the last, after the final norm",
        f"- {facts.dimension} numbers a vector; {facts.limit} are read, the prompt's included",
    ]
    lines += [f"- How the {inline(what)} came to be: {inline(how)}" for what, how in manifest.provenance.items()]
    return "\n".join([*lines, f"- Fingerprint of weights, tokenizer, prompt and layer: `{manifest.fingerprint}`"])


def limits(facts: CardFacts) -> str:
    """Say what the model is not for."""
    return (
        "It embeds sentences. On long documents mean pooling does better; cut them into sentences first. Of a longer "
        f"text and its prompt, {facts.limit} are read, and the text is cut. It knows the languages and has "
        "the biases of the language model that it is made of. Vectors of another prompt or layer are not comparable, "
        "even of the same weights."
    )


def license_of(data: CardData, base: str | None) -> str:
    """Say under which license the weights are, and who states it."""
    license = data.get("license_name") or data.get("license")
    if license:
        return f"`{license}`, as {linked(base)} states." if base else f"`{license}`."
    whose = f"of {linked(base)}" if base else "of its base model"
    return f"The license {whose} holds for these weights; it states none that could be read when this was written."
