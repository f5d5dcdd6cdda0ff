"""Every block of Python and of the shell on every page runs, in order and offline, but for those that say why not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

from page_blocks import NOT_RUN, PAGES, ROOT, Block, page_blocks, skip_unless_installed
from page_shell import Shell
from prompteol.loading import embedded_model

# The Python blocks of these pages run in tests of their own, which look at more.
ELSEWHERE = {
    "docs/corpus.md": "tests/corpus/test_page.py",
    "docs/extend/attention.md": "tests/inference/test_registry.py",
    "docs/extend/technique.md": "tests/techniques/test_register_technique.py",
}

# What a page's last `found` must be, where it depends on the vectors: the embedded model answers right.
ANSWERS = {
    "Haystack": "The moon makes the tides.",
    "Qdrant": "The moon makes the tides.",
    "txtai": "The moon makes the tides.",
}

# Third parties that are behind another third party.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning"),  # torch
    pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning"),  # torch
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning"),
    pytest.mark.filterwarnings("ignore:table_names:DeprecationWarning"),  # LlamaIndex's LanceDB store
    pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning"),  # BERTopic imports umap
    pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers.models':DeprecationWarning"),  # BERTopic
    pytest.mark.filterwarnings("ignore:The fill_missing parameter:DeprecationWarning"),  # MTEB
    pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning"),  # MTEB
]


def stories() -> Iterator[tuple[str, list[Block]]]:
    """A page is read from top to bottom; of the page for the other frameworks each section stands alone."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:] if page.stem == "others" else [text]:
            if found := page_blocks(part):
                yield part.splitlines()[0] if page.stem == "others" else name, found


def runs(name: str, block: Block) -> bool:
    return block.reason is None and not (block.language == "python" and name in ELSEWHERE)


STORIES = list(stories())
RUN = [pytest.param(name, [b for b in found if runs(name, b)], id=name) for name, found in STORIES]


@pytest.fixture
def reader(tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where all lies that the pages name, and no network."""
    folder = shutil.copytree(shelf, tmp_path / "reader")
    monkeypatch.chdir(folder)
    disable_socket(allow_unix_socket=True)
    yield folder
    enable_socket()


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(("name", "found"), [param for param in RUN if param.values[1]])
def test_page(
    name: str,
    found: list[Block],
    reader: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if any("PromptEOL()" in block.source for block in found) and not embedded_model().is_dir():
        pytest.skip("the embedded model is not here")
    namespace: dict[str, object] = {"__name__": "page"}
    for block in found:
        if block.language == "python":
            skip_unless_installed(block.source)
            exec(compile(block.source, f"{name}:{block.line}", "exec", dont_inherit=True), namespace)
        else:
            shell: Shell = request.getfixturevalue("shell")
            done = shell.run(block.source, reader)
            assert done.returncode == 0, f"{name}:{block.line}\n{block.source}\n{done.stdout}{done.stderr}"
    if any("found =" in block.source for block in found):
        assert namespace["found"]
        assert namespace["found"] == ANSWERS.get(name, namespace["found"])
        assert capsys.readouterr().out


def test_pages_define_every_name_that_they_use(tmp_path: Path) -> None:
    for number, (_, found) in enumerate(STORIES):
        source = "\n".join(block.source for block in found if block.language == "python")
        (tmp_path / f"{number}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,E9", str(tmp_path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr + str(list(enumerate(name for name, _ in STORIES)))


def test_few_blocks_do_not_run_and_each_says_why() -> None:
    told = [(name, block) for name, found in STORIES for block in found]
    not_run = [f"{name}:{block.line} {block.language} {block.reason}" for name, block in told if block.reason]
    assert [one for one in not_run if one.split()[-1] not in NOT_RUN] == []
    # Other people's programs cannot run here; of the rest, at least half of the shell's and 85 % of Python's blocks do.
    ours = [block for _, block in told if block.reason not in ("install", "server")]
    counts, left_out = (Counter(block.language for block in ours if not only or block.reason) for only in (False, True))
    assert left_out["python"] <= 0.15 * counts["python"], not_run
    assert left_out["bash"] <= 0.5 * counts["bash"], not_run


def test_the_integration_pages_show_code() -> None:
    shown = {name for name, _ in STORIES}
    assert {
        "README.md",
        "docs/integrations/langchain.md",
        "docs/integrations/llama-index.md",
        *ANSWERS,
        *ELSEWHERE,
    } <= shown
