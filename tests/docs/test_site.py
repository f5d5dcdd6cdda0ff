"""The site builds without a warning, asks no other host, has no dead link, and shows all that is public."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

import prompteol
from page_blocks import ROOT, is_installed
from prompteol import errors

# What a browser fetches without being asked to, by element.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
# Relations of a link element that a browser does not fetch.
NAMED_ONLY = {"canonical", "next", "prev"}


class Page(HTMLParser):
    """The anchors, links and fetched files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.fetched = {""}, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given.get("id", ""), given.get("name", "")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in FETCHED and FETCHED[tag] in given and given.get("rel") not in NAMED_ONLY:
            self.fetched.append(given[FETCHED[tag]])


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
def pages(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def test_every_link_leads_somewhere(site: Path, pages: dict[str, Page]) -> None:
    dead = []
    for name, page in pages.items():
        if name == "404.html":  # it is shown at any depth, so its links begin at the site's root
            continue
        for link in {*page.links, *page.fetched}:
            there = urlsplit(urljoin(f"http://site/{name}", link))
            if there.netloc != "site" or there.scheme != "http":
                continue
            target = unquote(there.path.lstrip("/"))
            target = f"{target}index.html" if target in ("",) or target.endswith("/") else target
            anchor = unquote(there.fragment)
            known = (site / target).is_file() and (target not in pages or anchor in pages[target].anchors)
            dead += [] if known else [(name, link)]
    assert dead == []


def test_no_other_host_is_asked_for_anything(site: Path, pages: dict[str, Page]) -> None:
    fetched = {(name, url) for name, page in pages.items() for url in page.fetched if urlsplit(url).netloc}
    assert fetched == set()
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", text) == [], path


def test_every_public_name_is_on_a_page_of_the_reference(pages: dict[str, Page]) -> None:
    anchors = {anchor for name, page in pages.items() if name.startswith("reference/") for anchor in page.anchors}
    shown = {anchor.rpartition(".")[2] for anchor in anchors}
    assert {name for name in prompteol.__all__ if name != "errors" and name not in shown} == set()
    assert {name.lower() for name in errors.__all__} - anchors == set()


def test_every_command_has_its_section(pages: dict[str, Page]) -> None:
    from prompteol.cli.app import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands - pages["reference/commands/index.html"].anchors == set()


def test_the_figures_are_those_that_the_script_draws() -> None:
    sys.path.insert(0, str(ROOT / "scripts" / "site"))
    try:
        import drawings
    finally:
        sys.path.pop(0)
    lying = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "figures").glob("*.svg")}
    assert lying == drawings.figures()
