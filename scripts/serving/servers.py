"""Run a server until it answers, and stop it afterward; and a client that writes the prompt in front of one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prompteol.embedder.server import EmbeddingServer
from prompteol.errors import ServerError

# vLLM takes some two minutes on two cores.
_PATIENCE = 400


class DidNotStartError(Exception):
    """A server ended, or gave no vector for minutes; the last lines of its output say why."""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


@contextmanager
def running(command: Sequence[object], port: int, log: Path, **environment: str) -> Iterator[str]:
    """Start a server, yield its URL once it embeds a text, and stop it and what it started."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, log)
        yield url
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    server, start = EmbeddingServer(url, timeout=60), time.monotonic()
    while process.poll() is None and time.monotonic() - start < _PATIENCE:
        try:
            server.adopt_name()
            server.embed(["ready?"])
        except ServerError:
            time.sleep(1)
        else:
            return
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    raise DidNotStartError([f"it ended, or was silent, with status {process.poll()}", *lines[-1:], *errors[-1:]][-1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    for way in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, way)
        except ProcessLookupError:
            return
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _serving(handler: Callable[..., Any]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def folder_server(folder: Path) -> Any:
    """Serve a folder's files within a block, which gets the URL."""
    return _serving(partial(_Quiet, directory=str(folder)))


def prompting_proxy(url: str, render: Callable[[str], str]) -> Any:
    """Serve what a client does that writes the prompt although the server's tokenizer writes it too."""

    class Proxy(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if isinstance(body.get("input"), list):
                body["input"] = [render(text) if isinstance(text, str) else text for text in body["input"]]
            self._pass_on(json.dumps(body).encode())

        def _pass_on(self, body: bytes | None) -> None:
            request = Request(url + self.path, body, {"Content-Type": "application/json"})
            try:
                with urlopen(request) as answer:
                    status, said = answer.status, answer.read()
            except HTTPError as error:
                status, said = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    return _serving(Proxy)
