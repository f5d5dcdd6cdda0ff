"""Draw the figures of the documentation: python scripts/site/drawings.py writes docs/figures/*.svg.

The colors are readable on a light and on a dark page, and no font is named, so that a figure asks no host for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures"
INK, SHARED, TEXT, TAIL, EMPTY = "#7f8794", "#5c6bc0", "#26a69a", "#ef8f35", "#9aa0a6"

# Tokens of a prompt whose demonstration and opening words are 12, of four texts, and of the closing words.
PREFIX, LENGTHS, SUFFIX = 12, (3, 9, 5, 2), 2
CELL = 16


def main() -> None:
    """Write every figure."""
    FIGURES.mkdir(exist_ok=True)
    for name, drawing in figures().items():
        (FIGURES / f"{name}.svg").write_text(drawing, encoding="utf-8")


def figures() -> dict[str, str]:
    """Return each figure by its name."""
    return {"packing": packing(), "layers": layers()}


def packing() -> str:
    """Draw a padded batch, and below it the shared prefix with the texts packed behind it."""
    widest = PREFIX + max(LENGTHS) + SUFFIX
    padded, packed = widest * len(LENGTHS), PREFIX + sum(LENGTHS) + SUFFIX * len(LENGTHS)
    parts = [_label(0, 14, f"A padded batch: {padded} tokens")]
    for row, length in enumerate(LENGTHS):
        y = 26 + row * (CELL + 5)
        parts += _cells(0, y, PREFIX, SHARED)
        parts += _cells(PREFIX, y, length, TEXT)
        parts += _cells(PREFIX + length, y, SUFFIX, TAIL)
        parts += _cells(PREFIX + length + SUFFIX, y, widest - PREFIX - length - SUFFIX, None)
    below = 26 + len(LENGTHS) * (CELL + 5) + 26
    parts.append(_label(0, below, f"Here: the prefix once, the rest end to end: {packed} tokens"))
    parts += _cells(0, below + 12, PREFIX, SHARED)
    place = 0
    for length in LENGTHS:
        parts += _cells(PREFIX + 2 + place, below + 12, length, TEXT)
        parts += _cells(PREFIX + 2 + place + length, below + 12, SUFFIX, TAIL)
        place += length + SUFFIX
    parts.append(_label(0, below + 46, "keys and values are kept", small=True))
    parts.append(_label((PREFIX + 2) * CELL, below + 46, "each text sees the prefix and itself", small=True))
    legend = [("prefix: BOS, demonstrations, opening words", SHARED), ("text", TEXT), ("closing words", TAIL)]
    for number, (name, color) in enumerate([*legend, ("padding", None)]):
        x = (0, 19, 23, 30)[number]
        parts += _cells(x, below + 64, 1, color)
        parts.append(_label((x + 1) * CELL + 6, below + 77, name, small=True))
    return _svg(
        PREFIX + 2 + place, below + 92, "A padded batch computes more tokens than a shared prefix and a pack", parts
    )


def layers() -> str:
    """Draw which layers and tokens are computed: none above the one that is read, and in that one the last token."""
    columns, rows, read = 14, 8, 6  # the layer that is read, counted from the bottom
    parts = [_label(0, 14, f"Layer {read} of {rows} is read: layers above it do not run")]
    for layer in range(rows, 0, -1):
        y = 26 + (rows - layer) * (CELL + 5)
        color = None if layer > read else SHARED
        if layer == read:
            parts += [*_cells(0, y, columns - 1, None), *_cells(columns - 1, y, 1, TAIL)]
        else:
            parts += _cells(0, y, columns, color)
        said = {read: "the layer that is read: the last token alone", rows: "not run", 1: "first layer: every token"}
        if layer in said:
            parts.append(_label((columns + 1) * CELL, y + 13, said[layer], small=True))
    bottom = 26 + rows * (CELL + 5) + 14
    parts.append(_label(0, bottom, "tokens of one text, from left to right", small=True))
    return _svg(columns + 20, bottom + 10, "Layers above the one that is read are not run", parts)


def _cells(column: float, y: float, count: int, color: str | None) -> Iterator[str]:
    """Yield squares, one a token; without a color they are outlines: nothing is computed, or nothing of use."""
    paint = f'fill="{color}"' if color else f'fill="none" stroke="{EMPTY}" stroke-dasharray="2 2"'
    for number in range(count):
        x, size = (column + number) * CELL + 1, CELL - 2
        yield f'<rect x="{x}" y="{y}" width="{size}" height="{size}" rx="2" {paint}/>'


def _label(x: float, y: float, text: str, *, small: bool = False) -> str:
    size = 12 if small else 14
    return f'<text x="{x}" y="{y}" font-size="{size}" font-family="sans-serif" fill="{INK}">{escape(text)}</text>'


def _svg(columns: float, height: float, title: str, parts: list[str]) -> str:
    size = f'viewBox="0 0 {columns * CELL} {height}" width="{columns * CELL}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title>",
            *parts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    main()
