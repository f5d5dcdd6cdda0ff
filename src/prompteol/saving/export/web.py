"""Write a static page that embeds texts in a browser, from the ONNX graph and the tokenizer beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_PAGE = Path(__file__).with_name("web.html")


def write_page(folder: Path, tail: Sequence[int], max_length: int) -> None:
    """Write ``index.html``; it cuts long texts itself, as transformers.js would cut the template's end."""
    page = _PAGE.read_text(encoding="utf-8")
    page = page.replace("/*max_length*/ 0", str(max_length)).replace("/*tail*/ []", json.dumps(list(tail)))
    (folder / "index.html").write_text(page, encoding="utf-8")
