"""Run shell blocks in bash, where ``prompteol`` is a fork of one process that has imported everything.

A command line of its own imports torch and transformers for seconds; the pages have some two hundred of them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path

_CLIENT = """#!{python} -IS
import json, os, socket, sys
there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(there, [len(request).to_bytes(8, "big")], [0, 1, 2])
there.sendall(request)
sys.exit(int(there.recv(8) or b"1"))
"""


class Shell:
    """A folder with the command ``prompteol``, and the process behind it."""

    def __init__(self, folder: Path) -> None:
        self._address = folder / "socket"
        self._commands = folder / "bin"
        self._commands.mkdir()
        command = self._commands / "prompteol"
        command.write_text(_CLIENT.format(python=sys.executable, address=str(self._address)))
        command.chmod(0o755)
        (self._commands / "python").symlink_to(sys.executable)
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(self._address)], stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def run(self, source: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a block as a reader would who pastes it, and stop at the first command that fails."""
        environment = {
            **os.environ,
            "COLUMNS": "120",
            "PATH": f"{self._commands}{os.pathsep}{os.environ['PATH']}",
            "PROMPTEOL_CACHE": str(folder / ".cache"),
        }
        return subprocess.run(
            ["bash", "-e", "-c", source],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def close(self) -> None:
        self._server.terminate()
        self._server.wait()
        assert self._server.stdout is not None
        self._server.stdout.close()


def serve(address: str) -> None:
    """Answer each request with a fork that runs the command line in the client's place."""
    import pytest_socket
    import sentence_transformers  # noqa: F401

    import prompteol.cli.app
    import prompteol.sentence_transformers
    import prompteol.tuning  # noqa: F401

    pytest_socket.disable_socket(allow_unix_socket=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    here = socket.socket(socket.AF_UNIX)
    here.bind(address)
    here.listen()
    print("ready", flush=True)
    while True:
        client, _ = here.accept()
        length, files, _, _ = socket.recv_fds(client, 8, 3)
        if os.fork() == 0:
            here.close()
            _become(client, int.from_bytes(length, "big"), files)
        client.close()
        for file in files:
            os.close(file)


def _become(client: socket.socket, length: int, files: list[int]) -> None:
    """Run one command with the client's arguments, folder, environment and streams, and tell it the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with client.makefile("rb") as request:
        arguments, folder, environment = json.loads(request.read(length))
    for number, file in enumerate(files):
        os.dup2(file, number)
    # Opened anew: a pipe behind a stream that was opened on a file would be asked to seek.
    sys.stdin, sys.stdout, sys.stderr = (open(number, "rw"[number > 0], closefd=False) for number in range(3))  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    code = 1
    try:
        from prompteol.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        client.sendall(b"%d" % code)
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
