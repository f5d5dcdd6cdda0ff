"""Upload a model to the Hub in one commit; if the Hub refuses, say why in one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from prompteol.compat import hub_errors
from prompteol.errors import HubError, PromptEOLError

# Files that loaders read: those of an earlier model on the branch would mix with the new one.
_READ_BY_LOADERS = re.compile(
    r"(\d+_\w+/.*|[^/]*\.(safetensors|bin|jinja|model)|[^/]*\.index\.json|prompteol\.json|export\.json"
    r"|(adapter_)?config\.json|modules\.json|sentence_bert_config\.json|config_sentence_transformers\.json"
    r"|(tokenizer|vocab|added_tokens|special_tokens_map|tokenizer_config)\.json|merges\.txt)"
)


def read_by_loaders(file: str) -> bool:
    """Tell whether a file of a repository belongs to the model that lies there."""
    return _READ_BY_LOADERS.fullmatch(file) is not None


def folder_files(folder: str | Path) -> dict[str, Path]:
    """Return the files of a folder by their names in a repository."""
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def check_upload(
    name: str,
    *,
    revision: str | None = None,
    private: bool = False,
    force: bool = False,
    replaced: str | None = None,
    token: str | None = None,
) -> None:
    """Raise HubError if a model could not be uploaded, before any work is done.

    ``force`` allows a branch that holds a model, which the upload then replaces; ``replaced`` is a file that marks a
    folder which may be replaced without ``force``.
    """
    api = HfApi(token=token)
    full = full_name(name, token=token)
    with saying_why(name):
        try:
            _check_privacy(api, full, private)
            there = api.list_repo_files(full, revision=revision or "main")
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return
    if not force and replaced not in there and any(map(read_by_loaders, there)):
        raise HubError(
            f"{full!r} holds a model on its branch {revision or 'main'}: add --force (exist_ok=True) to replace it, "
            "or give another branch or name"
        )


def full_name(name: str, *, token: str | None = None) -> str:
    """Return a repository's name with its owner; without an owner, the user of the token is the owner.

    Raises:
        HubError: the Hub does not know the token, or cannot be reached.
    """
    with saying_why(name):
        user = HfApi(token=token).whoami()["name"]
    return name if "/" in name else f"{user}/{name}"


def upload(
    files: Mapping[str, Path | bytes],
    name: str,
    *,
    message: str,
    description: str = "",
    revision: str | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    exist_ok: bool = True,
    stale: Callable[[str], bool] = read_by_loaders,
    kept: Collection[str] = (),
    token: str | None = None,
) -> CommitInfo:
    """Upload files to a branch in one commit; a failure leaves the branch unchanged.

    ``stale`` tells whether the commit removes an existing file; the files in ``kept`` stay as they are.
    The repository and the branch are created if they do not exist. A branch that was created for a failed upload is
    deleted again.

    Raises:
        HubError: the Hub refuses or cannot be reached, or the repository is public but should be private.
    """
    api = HfApi(token=token)
    with saying_why(name):
        name = api.create_repo(name, private=private, exist_ok=exist_ok or create_pr).repo_id
        _check_privacy(api, name, private)
        made = _make_branch(api, name, revision)
        try:
            there = api.list_repo_files(name, revision=revision or "main")
            gone = [CommitOperationDelete(file) for file in there if file not in files and stale(file)]
            sent = {file: data for file, data in files.items() if not (file in kept and file in there)}
            added = [CommitOperationAdd(file, data) for file, data in sent.items()]
            # upload_folder is not used, as it makes several commits if an upload takes longer than five minutes.
            return api.create_commit(
                name,
                [*gone, *added],
                commit_message=message,
                commit_description=description,
                revision=revision,
                create_pr=create_pr,
            )
        except BaseException:
            if made:
                with suppress(*hub_errors()):
                    api.delete_branch(name, branch=str(revision))
            raise


def _check_privacy(api: HfApi, name: str, private: bool | None) -> None:
    """Refuse to upload a private model to an existing public repository."""
    if private and api.model_info(name).private is False:
        raise HubError(
            f"{name!r} exists and is public: make it private on its settings page, or give another name; nothing was "
            "uploaded"
        )


def _make_branch(api: HfApi, name: str, revision: str | None) -> bool:
    """Create a branch if it does not exist; return whether it was created."""
    if revision is None or revision in {branch.name for branch in api.list_repo_refs(name).branches}:
        return False
    api.create_branch(name, branch=revision, exist_ok=True)
    return True


@contextmanager
def saying_why(name: str, what: str = "was not pushed") -> Iterator[None]:
    """Turn the errors of requests to the Hub into a HubError of one line, which says what to do."""
    try:
        yield
    except PromptEOLError:
        raise
    except hub_errors() as error:
        # If a thread uploads the file, the client raises its own error from the Hub's.
        found = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        reason = " ".join(str(found).split())[:300] or type(found).__name__
        raise HubError(f"{name!r} {what}; {_cure(found)}: {reason}") from error


def _cure(error: BaseException) -> str:
    """Return advice for an error of a request to the Hub."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        return "unset HF_HUB_OFFLINE"
    if isinstance(error, HFValidationError):
        return "give a name such as 'me/my-model'"
    if "xet-write-token" in str(error) and "404" in str(error):
        return "this server takes large files by Git LFS alone, so set HF_HUB_DISABLE_XET=1"
    if status == 403 or "403 Forbidden" in str(error):
        return "the token may not write there, so take one with write access, or another name"
    if status == 409:
        return "it exists, so give another name, or exist_ok=True (--force)"
    if isinstance(error, (LocalTokenNotFoundError, RepositoryNotFoundError)) or status in (401, 404):
        return "log in with hf auth login, or set HF_TOKEN"
    if isinstance(error, ValueError):
        return "mend what is refused"
    return "try again, and what has arrived is not sent twice"
