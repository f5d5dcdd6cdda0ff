"""Answer the requests of the ``huggingface_hub`` client: see ``hub_server``."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from hub_server import READ_TOKEN, TOKEN, Hub, Repository, Request, card_errors

_TEXT = (".json", ".md", ".txt", ".jinja")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        while self.headers.get("Transfer-Encoding") == "chunked" and (size := int(self.rfile.readline(), 16)) >= 0:
            self.body += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                break
        self.query = urlsplit(self.path).query
        self.path = unquote(urlsplit(self.path).path)
        asked = f"{self.command} {self.path}"
        token = self.headers.get("Authorization")
        self.hub.requests.append(
            Request(self.server.host, self.command, self.path, token, self.headers.get("Range"))  # type: ignore[attr-defined]
        )
        self.cut_after: int | None = None
        for fault in self.hub.faults:
            if fault.times and fault.pattern.search(asked):
                fault.times -= 1
                if fault.status:
                    return self._answer(fault.status, {"error": "told to"})
                if fault.cut_after is None:
                    return self._hang_up()
                self.cut_after = fault.cut_after
        routes = _STORAGE if self.server.host == "storage" else _ROUTES  # type: ignore[attr-defined]
        for pattern, route in routes:
            if found := re.fullmatch(pattern, asked):
                return route(self, **found.groupdict())
        # What clients look for in folders that are not there; anything else is another address than the Hub's.
        code = {"X-Error-Code": "EntryNotFound"} if "/tree/" in asked else {}
        return self._answer(404, {"error": f"no route for {asked}"}, code)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, content: Any = b"", headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(data if self.cut_after is None else data[: self.cut_after])
        if self.cut_after is not None and self.cut_after < len(data):
            self.wfile.flush()
            self._hang_up()

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self._answer(status, {"error": message or code}, {"X-Error-Code": code, "X-Error-Message": message or code})

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _repository(self, name: str, *, write: bool = False) -> Repository | None:
        """The repository, or None where this request may not see or change it, which it is then told."""
        found, token = self.hub.repositories.get(name), self._token()
        if token not in (None, TOKEN, READ_TOKEN):
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif found is None or (found.private and token is None):
            # A private repository and one that is not there look alike.
            self._refuse(401 if token is None else 404, "RepoNotFound", "Repository not found")
        elif found.gated and token != TOKEN:
            self._refuse(401 if token is None else 403, "GatedRepo", f"Access to model {name} is restricted.")
        elif write and token != TOKEN:
            self._refuse(401 if token is None else 403, "", "Forbidden: pass a token that may write")
        else:
            return found
        return None

    def _commit_of(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self._repository(name)
        if repository is None:
            return None
        oid = repository.resolve(revision)
        if oid is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return oid, repository.commits[oid]

    # What people are.
    def whoami(self) -> None:
        if self._token() not in (TOKEN, READ_TOKEN):
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        return self._answer(200, {"name": "me", "type": "user", "orgs": []})

    def validate_yaml(self) -> None:
        errors = card_errors(json.loads(self.body)["content"])
        self._answer(400 if errors else 200, {"errors": [{"message": one} for one in errors], "warnings": []})

    # Repositories and branches.
    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if self._token() != TOKEN:
            return self._refuse(
                401 if self._token() is None else 403, "", "You don't have the rights to create a model"
            )
        known = name in self.hub.repositories
        if not known:
            self.hub.repositories[name] = Repository(private=asked.get("visibility") == "private")
        return self._answer(409 if known else 200, {"url": f"{self.hub.url}/{name}", "error": "You already created it"})

    def info(self, name: str, revision: str | None) -> None:
        if found := self._commit_of(name, revision or "main"):
            oid, files = found
            about = {"id": name, "sha": oid, "private": self.hub.repositories[name].private, "tags": [], "downloads": 0}
            self._answer(200, {**about, "siblings": [{"rfilename": path} for path in files]})

    def tree(self, name: str, revision: str) -> None:
        if found := self._commit_of(name, revision):
            self._answer(200, [_entry(path, data) for path, data in sorted(found[1].items())])

    def refs(self, name: str) -> None:
        if found := self._repository(name):
            heads = [
                {"name": one, "ref": f"refs/heads/{one}", "targetCommit": oids[-1]}
                for one, oids in found.branches.items()
            ]
            self._answer(200, {"branches": heads, "converts": [], "tags": []})

    def branch(self, name: str, branch: str) -> None:
        if found := self._repository(name, write=True):
            if self.command == "DELETE":
                found.branches.pop(branch)
            elif branch in found.branches:
                return self._answer(409, {"error": "Reference already exists"})
            else:
                found.branches[branch] = [found.branches["main"][-1]]
            self._answer(200, {})
        return None

    # Uploads.
    def preupload(self, name: str, revision: str) -> None:
        if found := self._repository(name, write=True):
            here = found.files(revision)
            files = [
                {
                    "path": path,
                    "uploadMode": "regular" if path.endswith(_TEXT) else "lfs",
                    "shouldIgnore": False,
                    "oid": _oid(path, here[path]) if path in here else None,
                }
                for path in (one["path"] for one in json.loads(self.body)["files"])
            ]
            self._answer(200, {"files": files})

    def lfs_batch(self, name: str) -> None:
        if self._repository(name, write=True) is None:
            return
        objects = []
        for one in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.hub.storage}/objects/{one['oid']}"}
            verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/objects/verify"}
            known = {} if one["oid"] in self.hub.objects else {"actions": {"upload": upload, "verify": verify}}
            objects.append({**one, **known})
        self._answer(200, {"transfer": "basic", "objects": objects})

    def lfs_verify(self, name: str) -> None:
        self._answer(200 if json.loads(self.body)["oid"] in self.hub.objects else 404, {})

    def store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._answer(400, {"error": "another sha256"})
        self.hub.objects[oid] = self.body
        return self._answer(200)

    def xet_token(self, name: str, kind: str) -> None:
        if self.hub.xet is None:
            return self._answer(404, {"error": "Xet is not offered here"})
        if self._repository(name, write=kind == "write") is None:
            return None
        where, until = f"local://{self.hub.xet}", int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": where, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(until)}
        return self._answer(200, {"casUrl": where, "accessToken": "xet", "exp": until}, headers)

    def commit(self, name: str, revision: str) -> None:
        repository = self._repository(name, write=True)
        if repository is None:
            return None
        header, *operations = [json.loads(line) for line in self.body.splitlines()]
        if header["value"].get("parentCommit") not in (None, repository.resolve(revision)):
            return self._answer(412, {"error": "A commit has happened since. Please refresh and try again."})
        files = dict(repository.files(revision))
        for one in operations:
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects and self.hub.xet is None:
                    return self._answer(400, {"error": f"{value['path']}: the object is not in the storage"})
                files[value["path"]] = self.hub.objects.get(value["oid"], b"")
            elif one["key"] == "deletedFile":
                files.pop(value["path"])
        pull_request = "create_pr=1" in self.query
        oid = repository.commit("refs/pr/1" if pull_request else revision, files)
        repository.messages.append(header["value"]["summary"])
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}"}
        about = {"pullRequestUrl": f"{self.hub.url}/{name}/discussions/1"} if pull_request else {}
        return self._answer(200, answer | about)

    # Downloads.
    def resolve(self, name: str, revision: str, path: str) -> None:
        found = self._commit_of(name, revision)
        if found is None:
            return
        oid, files = found
        headers = {"X-Repo-Commit": oid}
        if path not in files:
            self._answer(404, {}, {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        elif path.endswith(_TEXT):
            self._answer(200, files[path], {**headers, "ETag": f'"{_oid(path, files[path])}"'})
        else:
            linked = {"X-Linked-Etag": f'"{_oid(path, files[path])}"', "X-Linked-Size": str(len(files[path]))}
            where = f"{self.hub.storage}/objects/{_oid(path, files[path])}"
            if stored := self.hub.xet_hashes.get(_oid(path, files[path])):
                token = f"{self.hub.url}/api/models/{name}/xet-read-token/{oid}"
                linked |= {"X-Xet-Hash": stored, "Link": f'<{token}>; rel="xet-auth"'}
            self._answer(302, b"", {**headers, **linked, "Location": where})

    def fetch(self, oid: str) -> None:
        data, part = self.hub.objects[oid], self.headers.get("Range")
        if part is None:
            return self._answer(200, data, {"Accept-Ranges": "bytes"})
        start = int(part.removeprefix("bytes=").rstrip("-"))
        return self._answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})


def _oid(path: str, data: bytes) -> str:
    """The name of a file's content: in Git, or in the storage of large files."""
    if path.endswith(_TEXT):
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return hashlib.sha256(data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _oid(path, data)}
    large = {"oid": entry["oid"], "size": len(data), "pointerSize": 134}
    return entry if path.endswith(_TEXT) else {**entry, "lfs": large}


_NAME, _REVISION = r"/(?P<name>[^/]+/[^/]+)", r"/(?P<revision>.+)"
_ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/validate-yaml", Handler.validate_yaml),
    (r"POST /api/repos/create", Handler.create),
    (rf"GET /api/models{_NAME}/tree/(?P<revision>[^/]+)", Handler.tree),
    (rf"GET /api/models{_NAME}/refs", Handler.refs),
    (rf"(POST|DELETE) /api/models{_NAME}/branch/(?P<branch>.+)", Handler.branch),
    (rf"GET /api/models{_NAME}(/revision{_REVISION})?", Handler.info),
    (rf"POST /api/models{_NAME}/preupload{_REVISION}", Handler.preupload),
    (rf"POST /api/models{_NAME}/commit{_REVISION}", Handler.commit),
    (rf"GET /api/models{_NAME}/xet-(?P<kind>write|read)-token/.+", Handler.xet_token),
    (r"POST /(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"POST /(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/verify", Handler.lfs_verify),
    (rf"(GET|HEAD) {_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
]
_STORAGE: list[tuple[str, Callable[..., None]]] = [
    (r"PUT /objects/(?P<oid>\w+)", Handler.store),
    (r"(GET|HEAD) /objects/(?P<oid>\w+)", Handler.fetch),
]
