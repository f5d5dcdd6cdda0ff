"""Write the card of an exported folder: the sections of every card, and how its vectors compare with the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCardData

from prompteol.model.settable import SettableModel
from prompteol.saving.card import compose_card, renamed
from prompteol.saving.card_sections import CardFacts, use
from prompteol.saving.export.commands import llama_cpp_commands, serving_commands
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.report import ExportComparison, table
from prompteol.saving.manifest import Manifest

_BY_TOKENIZER = """\
Nothing else is needed, and no prompt is to be given: this folder is an export for servers, whose tokenizer writes the
prompt around plain text."""
_BY_CLIENT = """\
This folder is an export for llama.cpp, whose tokenizer writes no prompt: sentence-transformers would embed the bare
text. Serve it by the commands below, or load the model that it was made of."""
_OTHER_TOKENIZER = """\
Of this architecture `AutoTokenizer` loses the prompt that `tokenizer.json` holds, so the folder `{}` within
is the tokenizer, as the commands say and the line after loading."""
_SERVED = """\
Send plain text: the tokenizer writes the prompt around it. Add no prompt, and ask for no chat template."""
_SERVED_BY_IDS = """\
llama.cpp reads no prompt from a tokenizer, so the client writes it. Send token ids, which are the model's own for every
text that fits. The converter knows the pre-tokenizers of released models only, and stops at any other."""
_TRUNCATED = """\
vLLM refuses longer texts unless a request says `"truncate_prompt_tokens": -1`."""
_COMPARED = """\
A text that is cut loses the piece of the prompt next to it; one with the literal text of a special token is split
there before it is normalized. `export.json` holds these figures."""


def card(
    model: SettableModel,
    prompt: ExportedPrompt,
    record: Mapping[str, Any],
    comparisons: Sequence[ExportComparison],
    name: str,
    *,
    notes: str = "",
) -> str:
    """Return the text of ``README.md``; ``name`` is that of the folder, and ``notes`` tell of the model's training."""
    about = model.model_card_data
    data = ModelCardData(
        base_model=about.base_model,
        language=about.language or None,
        license=about.license,
        tags=["sentence-transformers", "sentence-similarity", "feature-extraction"],
    )
    facts = CardFacts(
        name,
        model.get_embedding_dimension(),
        record["max_seq_length"],
        str(model.module.config.get_text_config().model_type),
    )
    start = prompt.prompter.bos, prompt.prompter.bos_separator
    manifest = Manifest(prompt.template, model.layer, *start, model.provenance, record["fingerprint"])
    return compose_card(
        data,
        manifest,
        facts,
        use=_use(manifest, facts, record),
        measured=[f"## Compared with the model that it was made of\n\n{_table(comparisons)}\n\n{_COMPARED}"],
        servers=_servers(facts, record),
        notes=notes,
    )


def card_on_hub(card: str, folder: str, name: str, revision: str, dtype: str) -> str:
    """Return the card of a folder that is pushed to a branch: its lines and commands name the repository."""
    here = serving_commands(CardFacts(folder).title, tokenizer=None, dtype=dtype)
    there = serving_commands(name, tokenizer=None, dtype=dtype, revision=revision)
    for server, command in here.items():
        card = card.replace(f"\n{command}\n", f"\n{there[server]}\n")
    return renamed(card, CardFacts(name), revision)


def _table(comparisons: Sequence[ExportComparison]) -> str:
    header, *rows = table(comparisons)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def _use(manifest: Manifest, facts: CardFacts, record: Mapping[str, Any]) -> str:
    if record.get("server"):
        return _BY_CLIENT
    task = record["task"]
    alone = f" It embeds {'queries' if task == 'query' else 'documents'} alone." if task else ""
    own = _own_tokenizer(record)
    lines = use(manifest.template, facts, "sentence-transformers", tokenizer=own and f"{facts.title}/{own}")
    lost = f"\n\n{_OTHER_TOKENIZER.format(own)}" if own else ""
    return f"{lines}\n{_BY_TOKENIZER}{alone}{lost}"


def _servers(facts: CardFacts, record: Mapping[str, Any]) -> str:
    if record.get("server"):
        commands = llama_cpp_commands(facts.title, record["max_seq_length"])
        client = commands.pop("client")
        return f"{_SERVED_BY_IDS}\n\n{_shell(commands)}\n\n```python\n{client}\n```"
    own = _own_tokenizer(record)
    commands = serving_commands(facts.title, tokenizer=own and f"{facts.title}/{own}", dtype=record["dtype"])
    return f"{_SERVED}\n\n{_shell(commands)}\n\n{_TRUNCATED}"


def _own_tokenizer(record: Mapping[str, Any]) -> str | None:
    """Return the folder within the exported one that holds the tokenizer, where it is not the folder itself."""
    return record["tokenizer"] and str(record["tokenizer"]).replace("\\", "/").rpartition("/")[2]


def _shell(commands: Mapping[str, str]) -> str:
    return "```bash\n" + "\n".join(commands.values()) + "\n```"
