"""Add what the site shows beside docs/: generated pages, and files of the repository's root.

MkDocs calls these functions while it builds; see mkdocs.yml.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

import command_reference
import error_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Link, Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Files outside docs/ that are pages of the site, by their path in the repository.
INCLUDED = {
    "CHANGELOG.md": "project/changes.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "examples/README.md": "how-to/examples.md",
    "src/prompteol/nano/README.md": "reference/embedded-model.md",
}
_FENCE = re.compile(r"^( *)```(\w+)(?: [\w-]+)?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!\!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here, and those of the repository's root."""
    made = {"reference/commands.md": command_reference.page(), "reference/errors.md": error_reference.page()}
    for name, page in INCLUDED.items():
        made[page] = _without_front_matter((ROOT / name).read_text(encoding="utf-8"))
    made["how-to/examples.md"] += _examples()
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Lead to the live page, which scripts/docs writes beside the others when the site is built."""
    if os.environ.get("LIVE_PAGE"):
        nav.items.insert(1, Link("Try it", "try/"))
    return nav


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show shell sessions as commands to copy, and lead links between docs/ and the rest of the repository to pages."""
    there = {shown: name for name, shown in INCLUDED.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_with_links(markdown[end : fence.start()], there, page.file.src_uri), _shown(*fence.groups())]
        end = fence.end()
    return "".join([*parts, _with_links(markdown[end:], there, page.file.src_uri)])


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Drop the roles of reStructuredText, which docstrings name in front of code."""
    return re.sub(r":(?:class|data|func|meth|mod):(?=<)", "", html)


def _shown(indent: str, language: str, source: str) -> str:
    """Return a block without the attribute that says why it is not tested, and without the prompts of a session."""
    if language in ("console", "sh"):
        language, source = "bash", re.sub(r"^( *)\$ ", r"\1", source, flags=re.MULTILINE)
    return f"{indent}```{language}\n{source}{indent}```"


def _with_links(text: str, there: str, shown_at: str) -> str:
    """Rewrite the links of a file of the repository for the place where the site shows it."""

    def rewritten(link: re.Match[str]) -> str:
        path, mark, anchor = link["target"].partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(there), path))
        if target in INCLUDED:
            page = INCLUDED[target]
        elif target == "README.md":
            page = "index.md"
        elif target.startswith("docs/"):
            page = target.removeprefix("docs/")
        elif target.startswith("examples/") and target.endswith(".py"):
            page, mark, anchor = INCLUDED["examples/README.md"], "#", posixpath.basename(target).replace(".", "")
        elif (ROOT / target).exists():  # a file of the repository that the site does not show
            return link["text"]
        else:
            raise PluginError(f"{there}: no file {link['target']!r} in the repository")
        return f"[{link['text']}]({os.path.relpath(page, posixpath.dirname(shown_at) or '.')}{mark}{anchor})"

    return _LINK.sub(rewritten, text)


def _examples() -> str:
    """Return the scripts of examples/, a section each."""
    scripts = sorted((ROOT / "examples").glob("*.py"))
    return "".join(f"\n## {one.name}\n\n```python\n{one.read_text(encoding='utf-8')}```\n" for one in scripts)


def _without_front_matter(text: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
