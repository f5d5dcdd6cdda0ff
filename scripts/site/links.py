"""Find the links of a built site that lead nowhere: pages, anchors, and files that a page fetches.

python scripts/site/links.py site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

# What a browser fetches without being asked to, by element.
_FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
# Relations of a link element that a browser does not fetch.
_NAMED_ONLY = {"canonical", "next", "prev"}


class Page(HTMLParser):
    """The anchors, links and fetched files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what an element names, leads to or fetches."""
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given.get("id", ""), given.get("name", "")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in _FETCHED and _FETCHED[tag] in given and given.get("rel") not in _NAMED_ONLY:
            self.fetched.append(given[_FETCHED[tag]])


def read_site(site: Path) -> dict[str, Page]:
    """Return the pages of a site by their path in it."""
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def dead_links(site: Path, pages: dict[str, Page]) -> list[tuple[str, str]]:
    """Return each page with each of its links that leads to no file of the site, or to no anchor of a page."""
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
    return sorted(dead)


if __name__ == "__main__":
    built = Path(sys.argv[1])
    if found := dead_links(built, read_site(built)):
        sys.exit("\n".join(f"{page}: the link {link!r} leads nowhere" for page, link in found))
