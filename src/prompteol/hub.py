"""Fetch files of the Hub, and say in one line why a request to it failed and what to do."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented there

from prompteol.compat import http_errors, hub_errors
from prompteol.errors import HubError, ModelNotFoundError, PromptEOLError

_LOADED = "was not loaded"
_REFUSED: tuple[type[Exception], ...] = (*http_errors(), ValueError)
_FAILED: tuple[type[Exception], ...] = (*_REFUSED, OSError)


def check_token(token: str | bool | None) -> None:
    """Raise HubError for a token that no request can carry; the HTTP library would print it."""
    sent = token if isinstance(token, str) else build_hf_headers(token=token).get("authorization", "Bearer -")[7:]
    fault = None
    if not sent:
        fault = "is empty"
    elif not sent.isascii():
        fault = "holds a character that is not ASCII"
    elif "\n" in sent or "\r" in sent:
        fault = "holds a line break"
    elif not sent.isprintable() or " " in sent:
        fault = "holds a space or a control character"
    if fault:
        raise HubError(f"the token of the Hub {fault}: give token=... or HF_TOKEN the token alone, such as hf_...")


def fetch(
    name: str,
    file: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_folder: str | None = None,
    local_files_only: bool = False,
) -> Path | None:
    """Return the local path of a file of a folder or repository, downloaded if need be; ``None`` where there is none.

    Raises:
        ModelNotFoundError: the repository or its revision is not there, or is not shown to this token.
        HubError: the Hub does not answer, and the cache does not have the file.
    """
    path = Path(name, file)
    if os.path.exists(path) or os.path.isdir(name):
        return path if os.path.exists(path) else None
    try:
        found = hf_hub_download(
            name, file, revision=revision, token=token, cache_dir=cache_folder, local_files_only=local_files_only
        )
        return Path(found)
    except GatedRepoError as error:
        raise ModelNotFoundError(
            f"{name!r} is gated on the Hub: accept its license there, then pass token=... or set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"no model {name!r} on the Hub, and no such folder; a private one needs token=... or HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFoundError(
            f"{name!r} has no revision {revision!r} on the Hub: give a branch, a tag or a commit of it"
        ) from error
    except LocalEntryNotFoundError as error:
        # Its cause is what kept the client from looking further than the cache; a mirror may answer a plain 404.
        cause = error.__cause__
        if cause is None or isinstance(cause, OfflineModeIsEnabled) or _status(cause) == 404:
            return None
        raise hub_error(name, cause, _LOADED) from error
    except (EntryNotFoundError, HFValidationError):
        return None
    except _REFUSED as error:
        if _status(error) == 401:
            raise ModelNotFoundError(
                f"the Hub does not know the token that {name!r} was asked for with: log in with hf auth login, or "
                f"renew token=... or HF_TOKEN ({_one_line(error, 200)})"
            ) from error
        raise hub_error(name, error, _LOADED) from error


def reachable(name: str, files: dict[str, Any]) -> dict[str, Any]:
    """Return how to reach a model's files: by the cache alone where it lies there and the Hub does not answer.

    The client would try for 23 seconds to find each file that the cache does not have.
    """
    if os.path.isdir(name) or files.get("local_files_only"):
        return files
    revision, cache, token = (files.get(key) for key in ("revision", "cache_folder", "token"))
    try:
        check_token(token)
        for file in ("config.json", "adapter_config.json"):
            if isinstance(try_to_load_from_cache(name, file, cache_dir=cache, revision=revision), str):
                get_hf_file_metadata(hf_hub_url(name, file, revision=revision), token=token)
                break
    except LocalTokenNotFoundError as error:
        raise hub_error(name, error, _LOADED) from error
    except _FAILED as error:
        if isinstance(error, PromptEOLError):
            raise
        if unanswered(error):
            endpoint, why = HfApi().endpoint, _one_line(error, 200)
            logging.getLogger(__name__).warning("%r is read from the cache: no answer from %s: %s", name, endpoint, why)
            return {**files, "local_files_only": True}
    return files


@contextmanager
def saying_why(name: str, what: str = "was not pushed") -> Iterator[None]:
    """Turn what requests to the Hub raise into a HubError of one line, which says what to do."""
    try:
        yield
    except PromptEOLError:
        raise
    except hub_errors() as error:
        # Of a file that a thread uploads, the client raises its own error from the Hub's.
        found = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise hub_error(name, found, what) from error


def hub_error(name: str, error: BaseException, what: str) -> HubError:
    """Return what to raise for an error of a request to the Hub: what failed, what to do about it, and its reason."""
    reason = _one_line(error, 300) or type(error).__name__
    return HubError(f"{name!r} {what}; {_cure(error, loading=what == _LOADED)}: {reason}")


def raise_unanswered(name: str, error: BaseException) -> None:
    """Raise HubError where an error of a library that reads models began with a Hub that did not answer."""
    found: BaseException | None = error
    while found is not None:
        if unanswered(found):
            raise hub_error(name, found, _LOADED) from error
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def unanswered(error: BaseException) -> bool:
    """Tell whether an error of a request means that the Hub is not there, busy or out of order."""
    status = _status(error)
    return isinstance(error, http_errors()) and (status is None or status in (408, 429) or status >= 500)


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _one_line(error: BaseException, length: int) -> str:
    return " ".join(str(error).split())[:length]


def _cure(error: BaseException, *, loading: bool) -> str:
    """Say what to do about an error of a request to the Hub."""
    status, endpoint = _status(error), HfApi().endpoint
    if isinstance(error, OfflineModeIsEnabled):
        return "unset HF_HUB_OFFLINE"
    if isinstance(error, HFValidationError):
        return "give a name such as 'me/my-model'"
    if "xet-write-token" in str(error) and "404" in str(error):
        return "this server takes large files by Git LFS alone, so set HF_HUB_DISABLE_XET=1"
    if status == 403 or "403 Forbidden" in str(error):
        return f"the token may not {'read' if loading else 'write'} there, so take one " + (
            "that may" if loading else "with write access, or another name"
        )
    if status in (409, 412):
        return "somebody else pushed meanwhile, so look at what lies there and try again"
    if isinstance(error, (LocalTokenNotFoundError, RepositoryNotFoundError)) or status == 401:
        return "log in with hf auth login, or set HF_TOKEN"
    if not endpoint.startswith(("http://", "https://")):
        return f"HF_ENDPOINT={endpoint!r} has no scheme, so put https:// before it"
    if status == 404 or isinstance(error, (FileMetadataError, JSONDecodeError)):
        return f"nothing at {endpoint} answers as the Hub does, so look at HF_ENDPOINT"
    if unanswered(error) or "proxy" in str(error):
        what = "asks to wait" if status == 429 else "does not answer"
        then = (
            "try again later, or set HF_HUB_OFFLINE=1 if the model is in the cache"
            if loading
            else "try again, and what has arrived is not sent twice"
        )
        return f"{endpoint}{_proxy(endpoint)} {what}{f' ({status})' if status else ''}: {then}"
    return "mend what is refused" if isinstance(error, ValueError) else "try again"


def _proxy(endpoint: str) -> str:
    """Name the proxy that requests to the Hub go through, if any; its password stays out."""
    address = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.hostname or ""):
        return ""
    return f" by the proxy {proxy.rpartition('@')[2]!r} (of {address.scheme.upper()}_PROXY or ALL_PROXY)"
