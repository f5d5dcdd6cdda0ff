"""Write the reference of errors from the source: the tree of classes, and every message that the package raises."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prompteol import errors

SOURCE = Path(errors.__file__).parent
_GAP = "…"


def page() -> str:
    """Return the page: a section for each class with what it means, what helps, and its messages."""
    tree = inspect.getdoc(errors).split("\n\n")[1]  # type: ignore[union-attr]
    messages = _messages()
    parts = [
        "# Errors and what helps\n",
        "Made from the source. Every message names the value, what was expected and what to do next, so most of the "
        f"cures are in the messages: search this page for the words of yours (a {_GAP} stands for what differs). On "
        "the command line an error is one line on stderr, and the exit code is 2.\n",
        f"```text\n{inspect.cleandoc(tree)}\n```\n",
        "Catch `PromptEOLError` to catch all of them.\n",
    ]
    for name in sorted(errors.__all__, key=_place(tree)):
        kind = getattr(errors, name)
        also = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins" and base is not object]
        parts += [f"## {name}\n", _rst(inspect.getdoc(kind) or "") + "\n"]
        if builtin := [one for one in also if one not in ("Exception", "BaseException")]:
            parts.append(f"Also a `{builtin[0]}`, for code that catches that.\n")
        if found := sorted(messages[name], key=str.lower):
            parts += ["| what it says |", "|---|", *(f"| {_cell(one)} |" for one in found), ""]
    return "\n".join(parts)


def _place(tree: str):  # type: ignore[no-untyped-def]
    """Order classes as the tree in the module's docstring does."""
    order = {name: number for number, name in enumerate(re.findall(r"\b\w+Error\b", tree))}
    return lambda name: order.get(name, len(order))


def _messages() -> dict[str, set[str]]:
    """Return the messages of each class that is raised with a literal, or with a pattern of one."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors.__all__:
                for argument in node.args[:1]:
                    text = "".join(_text(argument)).strip()
                    if len(text.replace(_GAP, "")) > 15:  # less than that says nothing
                        found[node.func.id].add(text)
    return found


def _text(node: ast.expr) -> Iterator[str]:
    """Yield the parts of a message, with a gap for what is known only when it is raised."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _text(value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _text(node.left)
        yield from _text(node.right)
    else:
        yield _GAP


def _cell(text: str) -> str:
    return re.sub(r"([\\<>*_|{}`\[\]#~])", r"\\\1", " ".join(text.split()))


def _rst(text: str) -> str:
    """Return a docstring's reStructuredText as Markdown, as far as ours goes."""
    return text.replace("``", "`")
