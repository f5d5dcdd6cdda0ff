"""Lay the trained model where the package keeps it: half the bytes, the same vectors whoever loads it.

python recipes/nano/ship.py TRAINED src/prompteol/nano
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file, save_file

from prompteol import PromptEOL


def main(
    trained: Annotated[Path, typer.Argument(help="What train.py made.")],
    out: Annotated[Path, typer.Argument(help="The folder to fill; a README.md in it stays.")],
) -> None:
    """Save in fp16, to be loaded in fp32, with a tokenizer file without blanks."""
    card = out / "README.md"
    kept = card.read_text(encoding="utf-8") if card.exists() else None
    model = PromptEOL(trained, device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    model.provenance = {"template": "prompteol"}
    model.save_pretrained(str(out))
    weights = out / "model.safetensors"
    save_file({name: value.half() for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    tokenizer = out / "tokenizer.json"
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    tokenizer.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    if kept is not None:
        card.write_text(kept, encoding="utf-8")
    for path in out.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    print(f"{sum(path.stat().st_size for path in out.rglob('*') if path.is_file()):,} bytes")


if __name__ == "__main__":
    typer.run(main)
