"""Push an exported folder to a branch of a model's repository on the Hub, and say so in the card of main."""

from __future__ import annotations

import json
import re
from typing import Any

from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import EntryNotFoundError

from prompteol.compat import hub_errors
from prompteol.errors import ExportError
from prompteol.saving.export.commands import serving_commands
from prompteol.saving.export.exporting import Export
from prompteol.saving.manifest import EXPORTED

_HEADING = "## Servers"
_WRITTEN_ANEW = ("README.md", EXPORTED)


def check_push(revision: str, server: str | None) -> None:
    """Raise ExportError for a branch or a server whose folder is not pushed, before any work is done."""
    if revision == "main":
        raise ExportError("revision='main' would take the place of the model itself: give a branch, such as 'served'")
    if server is not None:
        raise ExportError(f"{server} reads a GGUF file, which is made of the local folder: export without a push")


def push(done: Export, name: str, revision: str = "served", *, token: str | None = None) -> bool:
    """Upload an exported folder to the branch ``revision`` of the repository ``name``, in place of what is there.

    Returns:
        Whether main has a card, which then names the branch.

    Raises:
        ExportError: the tokenizer lies in a folder of its own, which no server reads from the Hub; the folder is for
            llama.cpp; or the Hub refuses, or is not reached.
    """
    check_push(revision, done.record.get("server"))
    if done.record["tokenizer"]:
        raise ExportError(
            f"the tokenizer of this architecture lies in {done.record['tokenizer']!r}, and no server reads it from a "
            "folder of a repository on the Hub: serve the local folder"
        )
    commands = serving_commands(name, tokenizer=None, dtype=done.record["dtype"], revision=revision)
    readme = (done.folder / "README.md").read_text(encoding="utf-8")
    for server, command in done.commands.items():
        readme = readme.replace(command, commands[server])
    record = json.dumps({**done.record, "commands": commands}, indent=2, ensure_ascii=False) + "\n"
    api = HfApi(token=token)
    try:
        api.create_repo(name, exist_ok=True)
        api.create_branch(name, branch=revision, exist_ok=True)
        about: dict[str, Any] = {"repo_id": name, "revision": revision, "commit_message": "Export for servers"}
        # A new branch begins with the files of main, whose chat template or shards a server would read.
        api.upload_folder(
            folder_path=str(done.folder), ignore_patterns=list(_WRITTEN_ANEW), delete_patterns="*", **about
        )
        for file, text in zip(_WRITTEN_ANEW, (readme, record), strict=True):
            api.upload_file(path_or_fileobj=text.encode(), path_in_repo=file, **about)
        return _mention(api, name, revision, commands, token)
    except hub_errors() as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"{name!r} was not pushed; log in with hf auth login, or set HF_TOKEN: {reason}") from error


def _mention(api: HfApi, name: str, revision: str, commands: dict[str, str], token: str | None) -> bool:
    """Name the branch in the card of main, where there is a card."""
    try:
        card = ModelCard.load(name, token=token).content
    except EntryNotFoundError:
        return False
    shown = "\n".join(commands.values())
    begin = f"The branch `{revision}` holds this model for servers:"
    about = f"{begin} send plain text, its tokenizer writes the prompt.\n\n```bash\n{shown}\n```\n"
    if about not in card:
        text = _with_branch(card.rstrip() + "\n", begin, about)
        message = f"Name the branch {revision}"
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=name, commit_message=message)
    return True


def _with_branch(card: str, begin: str, about: str) -> str:
    """Put what is said of a branch in the place of what was, else below the heading; all else stays."""
    before = re.search(re.escape(begin) + r".*?```bash\n.*?\n```\n", card, re.DOTALL)
    if before:
        return card[: before.start()] + about + card[before.end() :]
    start, heading, rest = card.partition(f"\n{_HEADING}\n")
    return f"{start}\n{_HEADING}\n\n{about}" + (f"\n{rest.lstrip()}" if heading else "")
