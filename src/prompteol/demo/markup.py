"""Write the demo's panels as tables and lists that a screen reader can read; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import combinations

from prompteol.demo.panels import TextView

# Viridis, from low to high.
_COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_LONGEST_LABEL = 60
_KEY = (
    '<p class="key"><span class="template">prompt</span> <span class="text">text</span> '
    '<span class="last">its state is the vector</span></p>'
)

CSS = """\
.eol table { border-collapse: separate; border-spacing: 2px; }
.eol table, .eol tr, .eol th, .eol td { border: 0 !important; }
.eol caption { text-align: left; padding-bottom: .4rem; }
.eol th, .eol td { padding: .35rem .55rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.eol tbody th { font-weight: 400; min-width: 8rem; max-width: 22rem; }
.eol td.number { text-align: center; border-radius: 4px; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.eol td.self, .eol .template { background: #e3e5e8; color: #3c434a; }
.eol td.words { min-width: 9rem; }
.eol .scroll { overflow-x: auto; }
.eol .cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.eol article { border: 1px solid #8a929a; border-radius: 8px; padding: .8rem 1rem; min-width: 0; }
.eol article > h2, .eol article > h3 { margin: .6rem 0 .2rem; font-size: 1rem; overflow-wrap: anywhere; }
.eol article > h3 { font-size: .9rem; }
.eol ol { margin: .2rem 0; padding-left: 1.3rem; list-style: decimal; }
.eol ol.tokens { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 3px; max-height: 14rem;
  overflow-y: auto; }
.eol ol.tokens li { font: .82rem/1.5 ui-monospace, monospace; padding: 0 .3rem; border-radius: 3px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.eol .key span { display: inline-block; font-size: .82rem; padding: 0 .3rem; border-radius: 3px; }
.eol .vector { font: .75rem/1.6 ui-monospace, monospace; max-height: 10rem; overflow-y: auto; }
.eol .text { background: #dcebf9; color: #0b3d6b; }
.eol .last { background: #ffe8b3; color: #4a3300; }
.eol pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def similarity_table(views: Sequence[TextView]) -> str:
    """Return the table of the cosine of all texts with all texts, colored over those of different texts."""
    scores = [[float(one.vector @ other.vector) for other in views] for one in views]
    others = [score for row, line in enumerate(scores) for column, score in enumerate(line) if row != column]
    low, high = min(others, default=0.0), max(others, default=0.0)

    def cell(score: float, *, own: bool) -> str:
        if own:
            return '<td class="number self">1</td>'
        color, ink = _colors((score - low) / (high - low) if high > low else 1.0)
        return f'<td class="number" style="background:{color};color:{ink}">{_two(score)}</td>'

    said = f"Cosine of each two vectors: from {_two(low)}, dark, to {_two(high)}, bright."
    rows = (
        (f"{row}. {_short(views[row - 1].text)}", [cell(score, own=row == at) for at, score in enumerate(line, 1)])
        for row, line in enumerate(scores, 1)
    )
    header = ["", *map(str, range(1, len(views) + 1))]
    return _table(said if others else "Write a second sentence to compare.", header, rows)


def cards(views: Sequence[TextView]) -> str:
    """Return a card of each text: its words, its neighbors, its tokens, its vector."""
    return (
        f'<div class="eol"><div class="cards">{"".join(_card(at, one) for at, one in enumerate(views, 1))}</div></div>'
    )


def moves_table(before: Sequence[TextView], after: Sequence[TextView]) -> str:
    """Return what a demonstration changes in each text: its words, and how far its vector moved."""
    rows = (
        (
            f"{at}. {_short(was.text)}",
            [
                f'<td class="words">{_said(was)}</td><td class="words">{_said(now)}</td>',
                f'<td class="number">{_two(float(was.vector @ now.vector))}</td>',
            ],
        )
        for at, (was, now) in enumerate(zip(before, after, strict=True), 1)
    )
    header = ["Sentence", "Words without", "Words with", "Cosine of the two vectors"]
    return _table("Words and vectors without the demonstration and with it.", header, rows)


def changes_table(before: Sequence[TextView], after: Sequence[TextView]) -> str:
    """Return the similarity of each pair of texts without a demonstration and with it, or nothing of one text."""

    def row(one: int, other: int) -> tuple[str, list[str]]:
        was, now = (float(views[one].vector @ views[other].vector) for views in (before, after))
        numbers = (_two(was), _two(now), _two(now - was, "+"))
        return f"{one + 1} and {other + 1}", [f'<td class="number">{number}</td>' for number in numbers]

    pairs = [row(*pair) for pair in combinations(range(len(before)), 2)]
    header = ["Sentences", "Without", "With", "Change"]
    return _table("Similarity of each pair of the sentences above.", header, pairs) if pairs else ""


def prompt_text(prompt: str) -> str:
    """Return a whole prompt, as it is."""
    return f'<div class="eol"><pre tabindex="0">{escape(prompt)}</pre></div>'


def _card(number: int, view: TextView) -> str:
    parts = [f"<h2>{number}. {escape(_short(view.text))}</h2>"]
    if view.cut:
        parts.append("<p>Longer than the model takes: its end was cut off.</p>")
    if view.words:
        parts.append("<h3>In one word</h3>" + _list(f"{escape(one.text)} {one.probability:.1%}" for one in view.words))
    near = (f"<b>{_two(score)}</b> {escape(text)}" for text, score in view.neighbors)
    parts.append("<h3>Nearest in the sample corpus</h3>" + _list(near))
    if view.tokens:
        kinds = ["template" if template else "text" for _, template in view.tokens[:-1]] + ["last"]
        items = zip(kinds, (_visible(piece) for piece, _ in view.tokens), strict=True)
        listed = "".join(f'<li class="{kind}">{escape(piece)}</li>' for kind, piece in items)
        count = len(view.tokens)
        parts.append(
            f"<details><summary>{count} tokens, as the model sees them</summary>{_KEY}"
            f'<ol class="tokens" tabindex="0" aria-label="{count} tokens; the state of the last is the vector">{listed}'
            "</ol></details>"
        )
    numbers = " ".join(f"{entry:.4f}" for entry in view.vector)
    parts.append(
        f"<details><summary>Its vector, {len(view.vector)} numbers</summary>"
        f'<p class="vector" tabindex="0" role="region" aria-label="Vector of sentence {number}">{numbers}</p></details>'
    )
    return f'<article aria-label="Sentence {number}">{"".join(parts)}</article>'


def _table(caption: str, header: Sequence[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return a table of a plain caption, plain headers, and rows of a plain header and cells that are escaped."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in header)
    body = "".join(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>' for name, cells in rows)
    return (
        f'<div class="eol"><div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _list(items: Iterable[str]) -> str:
    return f"<ol>{''.join(f'<li>{item}</li>' for item in items)}</ol>"


def _said(view: TextView) -> str:
    return ", ".join(f"{escape(word.text)} {word.probability:.0%}" for word in view.words) or "–"


def _two(number: float, sign: str = "") -> str:
    """Write two decimals with a real minus, which screen readers read as one."""
    return f"{number:{sign}.2f}".replace("-", "−")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _visible(piece: str) -> str:
    return piece.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")


def _colors(share: float) -> tuple[str, str]:
    """Return a color between two of the scale, and black or white, whichever has more contrast with it."""
    place = min(max(share, 0.0), 1.0) * (len(_COLORS) - 1)
    at = min(int(place), len(_COLORS) - 2)
    pairs = zip(_COLORS[at], _COLORS[at + 1], strict=True)
    color = [round(low + (high - low) * (place - at)) for low, high in pairs]
    shares = [value / 255 for value in color]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    # WCAG's relative luminance: above 0.179 black has more contrast, which is then 4.58 or more.
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return f"rgb({color[0]} {color[1]} {color[2]})", "#000" if luminance > 0.179 else "#fff"
