"""Whatever stops ``encode`` half-way, no half file stands under the output's name."""

import resource
import signal
import subprocess
import sys
import time

import pytest

# With --fake, a model that needs no torch, so that only the command itself is started and stopped.
PROGRAM = """
import sys
import numpy as np
import prompteol.cli
import prompteol.cli.encode

class Fake:
    def encode(self, texts, **options):
        return np.ones((len(texts), 32), np.float32)

    def get_embedding_dimension(self):
        return 32

if "--fake" in sys.argv:
    sys.argv.remove("--fake")
    sys.modules["prompteol.cli.encode"].load_model = lambda *_, **__: Fake()
prompteol.cli.main()
"""


@pytest.mark.parametrize(
    ("stop", "code", "fake"),
    [
        (signal.SIGINT, 130, False),
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, True),
        (signal.SIGKILL, -9, True),
    ],
)
def test_a_process_stopped_in_mid_write_leaves_no_output(base, tmp_path, stop, code, fake):
    model = ["--fake"] if fake else ["-m", base]
    command = [sys.executable, "-c", PROGRAM, "encode", "-", "-o", str(tmp_path / "v.npy"), *model]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # The first chunk is more than a write buffer; then the process waits for a line that never comes.
        process.stdin.write(b"One line of many.\n" * 600)
        process.stdin.flush()
        deadline = time.monotonic() + 120
        while process.poll() is None and not any(path.stat().st_size for path in tmp_path.iterdir()):
            assert time.monotonic() < deadline, "nothing was written"
            time.sleep(0.05)
        process.send_signal(stop)
        _, said = process.communicate()

    left = [path.name for path in tmp_path.iterdir()]
    assert process.returncode == code, said.decode()
    if stop == signal.SIGKILL:
        # Nobody could clean up; what is left is hidden and does not bear the output's name.
        assert len(left) == 1
        assert left[0].startswith(".v.npy.")
    else:
        assert left == []
    if stop != signal.SIGKILL:
        word = "interrupted" if stop == signal.SIGINT else "terminated"
        assert said.decode().strip() == f"error: {word}; nothing half-written was left behind"


@pytest.fixture
def full_disk():
    """Let no file grow beyond 2 KB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["v.npy", "v.parquet", "v.jsonl"])
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(prompteol, base, tmp_path, full_disk, name):
    lines = "".join(f"Line {number}.\n" for number in range(100))

    result = prompteol("encode", "-", "-o", tmp_path / name, "-m", base, "-b", 4, input=lines)

    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert f"{name}' was not written: " in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    (tmp_path / "a.txt").write_text("One line of many.\n" * 2000)
    command = [sys.executable, "-c", PROGRAM, "encode", str(tmp_path / "a.txt"), "-o", "-", "--fake"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        began = process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()

    assert began == b'{"text": "'
    assert said == b""
