"""Write the reference of the command line from the commands themselves: what ``--help`` prints, as tables."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import typer

from prompteol.cli.app import app


def page() -> str:
    """Return one page with a section for each command."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="prompteol", terminal_width=120)
    parts = [
        "# Every command\n",
        "Made from the commands themselves: this is what `prompteol COMMAND --help` says. "
        "[The command line](../cli.md) explains files, exit codes and what the options mean together.\n",
    ]
    for name in group.list_commands(context):
        parts.append(_section(name, group.get_command(context, name), context))
    return "\n".join(parts)


def _section(name: str, command: Any, parent: Any) -> str:
    context = typer.Context(command, info_name=name, parent=parent)
    usage = " ".join(["prompteol", name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}\n", _markdown(command.help or ""), "", f"```text\n{usage}\n```\n"]
    rows: dict[str, list[str]] = {}
    for param in command.get_params(context):
        if record := param.get_help_record(context):
            panel = getattr(param, "rich_help_panel", None) or (
                "Options" if param.opts[0].startswith("-") else "Arguments"
            )
            rows.setdefault(panel, []).append(_row(*record))
    if arguments := [p for p in command.get_params(context) if p.param_type_name == "argument"]:
        rows["Arguments"] = [_row(p.metavar or p.name, p.help or "") for p in arguments]
    for panel, lines in sorted(rows.items(), key=lambda item: item[0] != "Arguments"):
        parts += [f"| {panel} | |", "|---|---|", *lines, ""]
    return "\n".join(parts)


def _row(names: str, text: str) -> str:
    return f"| {_code(names)} | {_markdown(' '.join(text.split()))} |"


def _code(names: str) -> str:
    return f"<code>{escape(names, quote=False).replace('|', '&#124;')}</code>"  # a bar would end the cell


def _markdown(text: str) -> str:
    """Return plain text as Markdown: what looks like markup is none."""
    return re.sub(r"([<>*_|{}`\[\]])", r"\\\1", text)
