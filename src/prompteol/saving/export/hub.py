"""Push an exported folder to a branch of a model's repository on the Hub, and say so in the card of main."""

from __future__ import annotations

import json
import re
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import EntryNotFoundError

from prompteol.errors import ExportError
from prompteol.hub import saying_why
from prompteol.saving.card import folder_name
from prompteol.saving.export.card import card_on_hub
from prompteol.saving.export.commands import serving_commands
from prompteol.saving.export.exporting import Export
from prompteol.saving.hub import folder_files, upload
from prompteol.saving.manifest import EXPORTED

_HEADING = "## Servers"


def check_push(revision: str, server: str | None) -> None:
    """Raise ExportError for a branch or a server whose folder is not pushed, before any work is done."""
    if revision == "main":
        raise ExportError("revision='main' would take the place of the model itself: give a branch, such as 'served'")
    if server is not None:
        raise ExportError(f"{server} reads a GGUF file, which is made of the local folder: export without a push")


def push(done: Export, name: str, revision: str = "served", *, private: bool = False, token: str | None = None) -> bool:
    """Upload an exported folder to the branch ``revision`` of the repository ``name``, in place of what is there.

    ``private`` makes the repository a private one, where it is made, and refuses one that is public.

    Returns:
        Whether main has a card, which then names the branch.

    Raises:
        ExportError: the tokenizer lies in a folder of its own, which no server reads from the Hub; the folder is for
            llama.cpp.
        HubError: the Hub refuses, or is not reached.
    """
    check_push(revision, done.record.get("server"))
    if done.record["tokenizer"]:
        raise ExportError(
            f"the tokenizer of this architecture lies in {done.record['tokenizer']!r}, and no server reads it from a "
            "folder of a repository on the Hub: serve the local folder"
        )
    commands = serving_commands(name, tokenizer=None, dtype=done.record["dtype"], revision=revision)
    readme = (done.folder / "README.md").read_text(encoding="utf-8")
    readme = card_on_hub(readme, folder_name(done.folder), name, revision, done.record["dtype"])
    record = json.dumps({**done.record, "commands": commands}, indent=2, ensure_ascii=False) + "\n"
    written_anew = {"README.md": readme.encode(), EXPORTED: record.encode()}
    upload(
        {**folder_files(done.folder), **written_anew},
        name,
        message="Export for servers",
        revision=revision,
        private=private or None,
        # A new branch begins with the files of main, whose chat template or shards a server would read.
        stale=lambda file: file != ".gitattributes",
        token=token,
    )
    return _mention(name, revision, commands, token)


def _mention(name: str, revision: str, commands: dict[str, str], token: str | None) -> bool:
    """Name the branch in the card of main, where there is a card."""
    api = HfApi(token=token)
    with saying_why(name, f"was pushed, but its card does not name the branch {revision}"):
        try:
            head = api.model_info(name).sha
            path = api.hf_hub_download(name, "README.md", revision=head)
        except EntryNotFoundError:
            return False
        card = Path(path).read_text(encoding="utf-8")
        shown = "\n".join(commands.values())
        begin = f"The branch `{revision}` holds this model for servers:"
        about = f"{begin} send plain text, its tokenizer writes the prompt.\n\n```bash\n{shown}\n```\n"
        if about not in card:
            text = _with_branch(card.rstrip() + "\n", begin, about)
            operation = CommitOperationAdd("README.md", text.encode())
            api.create_commit(name, [operation], commit_message=f"Name the branch {revision}", parent_commit=head)
    return True


def _with_branch(card: str, begin: str, about: str) -> str:
    """Put what is said of a branch in the place of what was, else below the heading; all else stays."""
    before = re.search(re.escape(begin) + r".*?```bash\n.*?\n```\n", card, re.DOTALL)
    if before:
        return card[: before.start()] + about + card[before.end() :]
    start, heading, rest = card.partition(f"\n{_HEADING}\n")
    return f"{start}\n{_HEADING}\n\n{about}" + (f"\n{rest.lstrip()}" if heading else "")
