"""A Hub in this process: what the ``huggingface_hub`` client asks of huggingface.co, over HTTP and kept in memory.

It speaks the requests that uploads and downloads of models make: repositories, branches, commits in NDJSON, Git LFS
through a storage host of another name, and Xet as far as handing out tokens for a content-addressed store in a folder,
which the client's own Xet library writes and reads without HTTP. Other repository types are not there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

TOKEN = "hf_of_the_owner"
READ_TOKEN = "hf_that_only_reads"


@dataclass
class Request:
    """One request as it came in."""

    host: str
    method: str
    path: str
    authorization: str | None
    range: str | None = None


@dataclass
class Repository:
    """Branches, each a list of commits, and commits, each the files by path."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, list[str]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.commit("main", {})

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        oid = secrets.token_hex(20)
        self.commits[oid] = files
        self.branches.setdefault(branch, []).append(oid)
        return oid

    def resolve(self, revision: str) -> str | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        return revision if revision in self.commits else None

    def files(self, branch: str = "main") -> dict[str, bytes]:
        """The newest files of a branch."""
        return self.commits[self.branches[branch][-1]]


class Fault:
    """What happens in place of an answer: a status, a line cut after so many bytes, or nothing at all."""

    def __init__(self, pattern: str, *, status: int = 0, cut_after: int | None = None, times: int = 10**6):
        self.pattern, self.status, self.cut_after, self.times = re.compile(pattern), status, cut_after, times


class Hub:
    """The Hub on 127.0.0.1, and the storage of its large files on localhost, which to a client is another host."""

    def __init__(self) -> None:
        self.sockets = {
            "hub": socket.create_server(("127.0.0.1", 0)),
            "storage": socket.create_server(("127.0.0.1", 0)),
        }
        ports = {name: one.getsockname()[1] for name, one in self.sockets.items()}
        self.url, self.storage = f"http://127.0.0.1:{ports['hub']}", f"http://localhost:{ports['storage']}"
        self.servers: list[ThreadingHTTPServer] = []
        self.reset()

    def reset(self, xet: Path | None = None) -> None:
        """Forget all repositories, requests and faults; ``xet`` is the folder of a content-addressed store."""
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.xet = xet
        self.xet_hashes: dict[str, str] = {}

    def start(self) -> None:
        """Answer requests; before, the ports are taken and refuse."""
        from hub_requests import Handler

        for host, listening in self.sockets.items():
            server = ThreadingHTTPServer(listening.getsockname(), Handler, bind_and_activate=False)
            server.socket.close()
            server.socket = listening
            server.hub, server.host = self, host  # type: ignore[attr-defined]
            self.servers.append(server)
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def fail(self, pattern: str, **how: Any) -> None:
        """Let requests whose ``METHOD path`` matches fail."""
        self.faults.append(Fault(pattern, **how))

    def upload(self, name: str, folder: str | Path, **how: Any) -> Repository:
        """Make a repository of a folder, as if somebody had pushed it."""
        found = {path.relative_to(folder).as_posix(): path for path in Path(folder).rglob("*") if path.is_file()}
        files = {file: path.read_bytes() for file, path in found.items()}
        self.objects |= {hashlib.sha256(data).hexdigest(): data for data in files.values()}
        made = self.repositories[name] = Repository(**how)
        made.commit("main", files)
        return made

    def offer_by_xet(self, data: bytes, xet_hash: str) -> None:
        """Know a file that Xet is to bring, whose content does not pass through here."""
        oid = hashlib.sha256(data).hexdigest()
        self.objects[oid], self.xet_hashes[oid] = data, xet_hash

    def asked(self, pattern: str) -> list[Request]:
        return [one for one in self.requests if re.search(pattern, f"{one.method} {one.path}")]


def card_errors(card: str) -> list[str]:
    """What the Hub refuses of a card's metadata, of what its documentation lists."""
    found = re.match(r"---\r?\n(.*?)\r?\n---(?:\r?\n|$)", card, re.DOTALL)
    if not found:
        return []
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(data, dict):
        return ["metadata is no mapping"]
    errors = []
    name = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
    for key in ("base_model", "datasets"):
        given = data.get(key) or []
        for one in [given] if isinstance(given, str) else given:
            if not isinstance(one, str) or not name.fullmatch(one):
                errors.append(f'"{key}" with value "{one}" is not valid. Use an id from the Hub.')
    license = data.get("license")
    if license is not None and str(license) not in LICENSES:
        errors.append(f'"license" must be one of the known identifiers, not "{license}"')
    for one in data.get("model-index") or []:
        if not one.get("name") or not isinstance(one.get("results"), list):
            errors.append('"model-index" needs a name and results')
    return errors


LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "llama3.2", "gemma", "gpl-3.0", "other", "unknown"}


HUB = Hub()
