"""Push an exported folder to a branch of a model's repository on the Hub, and say so in the card of main."""

from __future__ import annotations

from typing import Any

from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from prompteol.errors import ExportError
from prompteol.saving.export.commands import serving_commands
from prompteol.saving.export.exporting import Export

_HEADING = "## Servers"


def push(done: Export, name: str, revision: str = "served", *, token: str | None = None) -> bool:
    """Upload an exported folder to the branch ``revision`` of the repository ``name``.

    Returns:
        Whether main has a card, which then names the branch.

    Raises:
        ExportError: the tokenizer lies in a folder of its own, which no server reads from the Hub; or the Hub refuses.
    """
    if revision == "main":
        raise ExportError("revision='main' would take the place of the model itself: give a branch, such as 'served'")
    if done.record["tokenizer"]:
        raise ExportError(
            f"the tokenizer of this architecture lies in {done.record['tokenizer']!r}, and no server reads it from a "
            "folder of a repository on the Hub: serve the local folder"
        )
    commands = serving_commands(name, tokenizer=None, dtype=done.record["dtype"], revision=revision)
    readme = (done.folder / "README.md").read_text(encoding="utf-8")
    for server, command in done.commands.items():
        readme = readme.replace(command, commands[server])
    api = HfApi(token=token)
    try:
        api.create_repo(name, exist_ok=True)
        api.create_branch(name, branch=revision, exist_ok=True)
        about: dict[str, Any] = {"repo_id": name, "revision": revision, "commit_message": "Export for servers"}
        api.upload_folder(folder_path=str(done.folder), ignore_patterns=["README.md"], **about)
        api.upload_file(path_or_fileobj=readme.encode(), path_in_repo="README.md", **about)
        return _mention(api, name, revision, commands, token)
    except (HfHubHTTPError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"{name!r} was not pushed; log in with hf auth login, or set HF_TOKEN: {reason}") from error


def _mention(api: HfApi, name: str, revision: str, commands: dict[str, str], token: str | None) -> bool:
    """Name the branch in the card of main, where there is a card."""
    try:
        card = ModelCard.load(name, token=token).content
    except EntryNotFoundError:
        return False
    shown = "\n".join(commands.values())
    section = (
        f"{_HEADING}\n\nThe branch `{revision}` holds this model for servers: send plain text, its tokenizer writes "
        f"the prompt.\n\n```bash\n{shown}\n```\n"
    )
    if section not in card:
        text = card.partition(f"\n{_HEADING}\n")[0].rstrip() + f"\n\n{section}"
        message = f"Name the branch {revision}"
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=name, commit_message=message)
    return True
