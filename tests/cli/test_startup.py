"""``--help`` answers at once because nothing heavy is imported for it."""

import json
import subprocess
import sys

HEAVY = ["torch", "transformers", "sentence_transformers", "numpy", "pyarrow", "matplotlib"]

SCRIPT = f"""
import contextlib, io, json, sys
import prompteol.cli
loaded = {{"import": [name for name in {HEAVY} if name in sys.modules]}}
names = ("encode", "similarity", "words", "create", "info", "tune", "train", "merge", "--version")
for command in ([], *([name] for name in names)):
    sys.argv = ["prompteol", *command, *([] if "--version" in command else ["--help"])]
    with contextlib.redirect_stdout(io.StringIO()) as message, contextlib.suppress(SystemExit):
        prompteol.cli.main()
    assert "prompteol" in message.getvalue(), command
    loaded[" ".join(command)] = [name for name in {HEAVY} if name in sys.modules]
print(json.dumps(loaded))
"""


def test_neither_the_import_nor_any_help_loads_a_heavy_library():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)

    assert len(loaded) == 11
    assert not any(loaded.values()), loaded


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "prompteol", "nonsense"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "Usage: prompteol" in done.stderr
