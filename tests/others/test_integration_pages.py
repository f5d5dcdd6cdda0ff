"""Every Python block of README and docs runs, in order and offline, but for those marked ``download``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

from page_blocks import ROOT, blocks, skip_unless_installed
from prompteol.loading import embedded_model
from prompteol.testing import tiny_model

PAGES = [
    ROOT / "README.md",
    # The page on corpora runs beside the corpora that it reads: tests/corpus/test_page.py.
    *sorted(set(ROOT.glob("docs/**/*.md")) - {ROOT / "docs" / "corpus.md"}),
    *sorted(ROOT.glob("integrations/*/README.md")),
]

# What a page's last `found` must be, where it depends on the vectors: the embedded model answers right.
ANSWERS = {
    "Haystack": "The moon makes the tides.",
    "Qdrant": "The moon makes the tides.",
    "txtai": "The moon makes the tides.",
}


# Third parties that are behind another third party.
pytestmark = [
    pytest.mark.filterwarnings("ignore:table_names:DeprecationWarning"),  # LlamaIndex's LanceDB store
    pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning"),  # BERTopic imports umap
    pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers.models':DeprecationWarning"),  # BERTopic
    pytest.mark.filterwarnings("ignore:The fill_missing parameter:DeprecationWarning"),  # MTEB
    pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning"),  # MTEB
]


def stories(info: str = "python") -> Iterator[tuple[str, list[str]]]:
    """A page is read from top to bottom; of the page for the other frameworks each section stands alone."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:] if page.stem == "others" else [text]:
            if found := blocks(part, info):
                yield part.splitlines()[0] if page.stem == "others" else name, found


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where the Hub names of the pages lie as small models, and no network."""
    monkeypatch.chdir(tmp_path)
    for name in ("opt-125m", "opt-1.3b", "opt-2.7b"):
        tiny_model(tmp_path / "facebook" / name, "opt")
    tiny_model(tmp_path / "Qwen" / "Qwen2.5-0.5B-Instruct", "qwen2")
    disable_socket(allow_unix_socket=True)
    yield tmp_path
    enable_socket()


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(("name", "sources"), [pytest.param(*story, id=story[0]) for story in stories()])
def test_page(name: str, sources: list[str], reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_the_default = any("PromptEOL()" in source for source in sources)
    if needs_the_default and not embedded_model().is_dir():
        pytest.skip("the embedded model is not here")
    namespace: dict[str, object] = {"__name__": "page"}
    for source in sources:
        skip_unless_installed(source)
        exec(compile(source, name, "exec", dont_inherit=True), namespace)
    if any("found =" in source for source in sources):
        assert namespace["found"]
        assert namespace["found"] == ANSWERS.get(name, namespace["found"])
        assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "sources"), [pytest.param(*story, id=story[0]) for story in stories("python(?: download)?")]
)
def test_a_page_defines_every_name_that_it_uses(name: str, sources: list[str]) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,E9", "-"]
    checked = subprocess.run(command, input="\n".join(sources), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_integration_pages_show_code() -> None:
    shown = {name for name, _ in stories()}
    assert {"README.md", "docs/integrations/langchain.md", "docs/integrations/llama-index.md", *ANSWERS} <= shown
