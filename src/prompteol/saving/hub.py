"""Upload a model to the Hub in one commit, onto the commit whose files were looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from prompteol.compat import hub_errors
from prompteol.errors import HubError
from prompteol.hub import check_token, saying_why, unanswered

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
    full = full_name(name, token=token)
    api = HfApi(token=token)
    with saying_why(name):
        try:
            _check_privacy(api, full, private)
            there = api.list_repo_files(full, revision=revision or "main")
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return
    if not force and replaced not in there:
        _check_free(full, revision, there)


def full_name(name: str, *, token: str | None = None) -> str:
    """Return a repository's name with its owner; without an owner, the user of the token is the owner.

    Raises:
        HubError: the Hub knows no such token, or is not reached; or no request can carry the token.
    """
    with saying_why(name):
        check_token(token)
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

    ``stale`` tells of a file that lies there whether the commit removes it; files named in ``kept`` stay as they are.
    The repository and the branch are made where there are none; a branch that was made for an upload which failed is
    taken away again. Without ``exist_ok`` a branch that holds a model is refused; a repository that a failed upload
    left empty is not.

    Raises:
        HubError: the Hub refuses, is not reached, somebody else pushed meanwhile, or the repository is public and was
            to be private.
    """
    api = HfApi(token=token)
    with saying_why(name):
        check_token(token)
        name = api.create_repo(name, private=private, exist_ok=True).repo_id
        _check_privacy(api, name, private)
        made = _make_branch(api, name, revision)
        try:
            head = _head(api, name, revision)
            there = api.list_repo_files(name, revision=head)
            if not (exist_ok or create_pr or made):
                _check_free(name, revision, there)
            gone = [file for file in there if file not in files and stale(file)]
            sent = {file: data for file, data in files.items() if not (file in kept and file in there)}
            added = [CommitOperationAdd(file, data) for file, data in sent.items()]
            try:
                # Not upload_folder, which makes several commits of what takes longer than five minutes.
                return api.create_commit(
                    name,
                    [*map(CommitOperationDelete, gone), *added],
                    commit_message=message,
                    commit_description=description,
                    revision=revision,
                    create_pr=create_pr,
                    parent_commit=head,
                )
            except hub_errors() as error:
                landed = None if create_pr or not unanswered(error) else _landed(api, name, revision, head, added, gone)
                if landed is None:
                    raise
                url = f"{api.endpoint}/{name}/commit/{landed}"
                return CommitInfo(commit_url=url, commit_message=message, commit_description=description, oid=landed)
        except BaseException:
            if made:
                with suppress(*hub_errors()):
                    api.delete_branch(name, branch=str(revision))
            raise


def _head(api: HfApi, name: str, revision: str | None) -> str:
    """Return the newest commit of a branch."""
    return str(api.model_info(name, revision=revision or "main").sha)


def _landed(
    api: HfApi, name: str, revision: str | None, head: str, added: list[CommitOperationAdd], gone: Collection[str]
) -> str | None:
    """Return the commit that was made although its answer was lost, or None where there is none."""
    try:
        found = _head(api, name, revision)
        listed = api.list_repo_tree(name, recursive=True, revision=found) if found != head else []
        there = {one.path: one for one in listed if isinstance(one, RepoFile)}
    except hub_errors() as error:
        raise HubError(
            f"{name!r} may be pushed or not: the connection broke before the Hub had answered. Look at "
            f"{api.endpoint}/{name}, or push again with --force (exist_ok=True)"
        ) from error
    held = all(one.path_in_repo in there and _is_same(there[one.path_in_repo], one) for one in added)
    return found if there and held and not there.keys() & set(gone) else None


def _is_same(there: RepoFile, sent: CommitOperationAdd) -> bool:
    """Compare a file by its name in the storage of large files, or in Git."""
    if there.lfs is not None:
        return there.lfs.sha256 == sent.upload_info.sha256.hex()
    with sent.as_file() as file:
        data = file.read()
    return there.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _check_free(name: str, revision: str | None, there: Collection[str]) -> None:
    """Refuse a branch whose files are a model's."""
    if any(map(read_by_loaders, there)):
        raise HubError(
            f"{name!r} holds a model on its branch {revision or 'main'}: add --force (exist_ok=True) to replace it, "
            "or give another branch or name"
        )


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
