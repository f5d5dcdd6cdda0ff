"""The site builds without a warning, asks no other host, has no dead link, and shows all that is public."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import prompteol
from page_blocks import PAGES, ROOT, is_installed
from prompteol import errors

sys.path.insert(0, str(ROOT / "scripts" / "site"))
try:
    import drawings
    import links
finally:
    sys.path.pop(0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not is_installed("material") or not is_installed("mkdocstrings"):
        pytest.skip("needs mkdocs-material and mkdocstrings, which are not installed: bash scripts/test, without core")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, links.Page]:
    return links.read_site(site)


def test_every_link_leads_somewhere(site: Path, pages: dict[str, links.Page]) -> None:
    assert links.dead_links(site, pages) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "index.html").write_text("<h2 id='known'>Known</h2>")
    (tmp_path / "index.html").write_text(
        "<a href='there/'>a</a><a href='there/#known'>b</a><a href='there/#no'>c</a><a href='../no/'>d</a>"
        "<img src='no.png'><a href='https://example.org/no'>e</a>"
    )
    dead = [("index.html", link) for link in ("../no/", "no.png", "there/#no")]
    assert links.dead_links(tmp_path, links.read_site(tmp_path)) == dead


# The site has its own pages; these are read in the repository, and on the package index.
BESIDE = [page for page in PAGES if page.relative_to(ROOT).parts[0] != "docs"]


@pytest.mark.parametrize("page", BESIDE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_beside_the_site_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^()\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (page.parent / name) if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            known = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in known, link


def test_no_other_host_is_asked_for_anything(site: Path, pages: dict[str, links.Page]) -> None:
    fetched = {(name, url) for name, page in pages.items() for url in page.fetched if urlsplit(url).netloc}
    assert fetched == set()
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", text) == [], path


def test_every_public_name_is_on_a_page_of_the_reference(pages: dict[str, links.Page]) -> None:
    anchors = {anchor for name, page in pages.items() if name.startswith("reference/") for anchor in page.anchors}
    shown = {anchor.rpartition(".")[2] for anchor in anchors}
    assert {name for name in prompteol.__all__ if name != "errors" and name not in shown} == set()
    assert {name.lower() for name in errors.__all__} - anchors == set()


def test_every_command_has_its_section(pages: dict[str, links.Page]) -> None:
    from prompteol.cli.app import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands - pages["reference/commands/index.html"].anchors == set()


def test_the_figures_are_those_that_the_script_draws() -> None:
    lying = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "figures").glob("*.svg")}
    assert lying == drawings.figures()
