"""Help and slips of the keyboard are answered at once, because nothing heavy is imported for them."""

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


# What a slip of the keyboard names; each is told before a library loads for seconds.
MISTAKES = [
    ["encode", "nothing.txt", "-o", "v.npy"],
    ["encode", "a.txt", "-o", "a.txt"],
    ["encode", "a.txt", "-o", "v.xyz"],
    ["encode", "a.txt", "-o", "v.npy", "-m", "./nothing"],
    *(["similarity", "a", "b", "-m", name] for name in ("./nothing", "a.txt")),
    *([command, "-m", "./nothing"] for command in ("check", "demo", "info", "benchmark")),
    *([command, "-m", "./nothing", "-o", "out"] for command in ("create", "merge", "export")),
    ["words", "a", "-m", "./nothing"],
    ["tune", "--pairs", "nothing.tsv"],
]
SLIPS = f"""
import contextlib, io, json, sys
import prompteol.cli
for mistake in {MISTAKES}:
    sys.argv = ["prompteol", *mistake]
    with contextlib.redirect_stderr(io.StringIO()) as message:
        try:
            prompteol.cli.main()
        except SystemExit as end:
            assert end.code == 2, mistake
    loaded = [name for name in ("torch", "transformers") if name in sys.modules]
    assert message.getvalue().startswith("error: ") and not loaded, (mistake, message.getvalue(), loaded)
"""


def test_a_wrong_path_is_told_before_a_heavy_library_loads(tmp_path):
    (tmp_path / "a.txt").write_text("A text.\n")
    subprocess.run([sys.executable, "-c", SLIPS], cwd=tmp_path, check=True)


def test_neither_the_import_nor_any_help_loads_a_heavy_library():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)

    assert len(loaded) == 11
    assert not any(loaded.values()), loaded


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "prompteol", "nonsense"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "Usage: prompteol" in done.stderr
