"""Progress and messages that nobody can read change neither an output nor an exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = f"{sys.executable} -m prompteol"
# A full disk, a closed stream, and a reader that went away.
UNREADABLE = ("{command} 2> /dev/full", "{command} 2>&-", "( {command}; echo $? >&3 ) 3>&1 >/dev/null 2> >(exec true)")


def code(way: str, command: str) -> int:
    ended = subprocess.run(["bash", "-c", way.format(command=command)], stdout=subprocess.PIPE, text=True, check=False)
    return int(ended.stdout.split()[-1]) if "echo" in way else ended.returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("way", UNREADABLE)
@pytest.mark.parametrize(
    ("command", "expected", "output"),
    [
        ("encode {texts} -o {here}/v.npy -m {base}", 0, "v.npy"),
        ("create -m {base} -o {here}/saved", 0, "saved/modules.json"),
        ("encode {here}/nothing.txt -o {here}/v.npy -m {base}", 2, None),
        ("encode --no-such-option", 2, None),
    ],
)
def test_a_stderr_that_cannot_be_written_changes_nothing(tmp_path, sentences, base, way, command, expected, output):
    assert code(way, f"{PROGRAM} {command.format(texts=sentences, here=tmp_path, base=base)}") == expected
    assert output is None or (tmp_path / output).stat().st_size
