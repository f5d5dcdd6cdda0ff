"""How well a model knows English: its perplexity on text that it has not seen, per token and per word.

python recipes/nano/perplexity.py FOLDER --text novels.txt --text news.txt
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.inference_mode()
def main(
    model: Annotated[str, typer.Argument(help="Folder or Hub name of a causal LM.")],
    text: Annotated[list[Path], typer.Option(help="Text files; perplexity is given for each.")],
    tokens: Annotated[int, typer.Option(help="Of each file at most.")] = 60_000,
    context: Annotated[int, typer.Option(help="Of a stretch.")] = 128,
) -> None:
    """Cut each text into stretches of so many tokens, each after BOS, and score every token by those before it."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    language_model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    for path in text:
        content = path.read_text(encoding="utf-8")
        encoded = tokenizer(content, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        whole = min(tokens, len(encoded["input_ids"])) // context * context
        rows = torch.tensor(encoded["input_ids"][:whole]).view(-1, context)
        rows = torch.cat([torch.full((len(rows), 1), tokenizer.bos_token_id), rows], dim=1)
        loss = sum(language_model(row, labels=row).loss.item() * len(row) for row in rows.split(16)) / len(rows)
        read = content[: encoded["offset_mapping"][whole - 1][1]]
        total = loss * whole
        # Tokens of two models are not the same; words and characters are.
        print(
            f"{path.name}: perplexity {math.exp(loss):.1f} per token, {math.exp(total / len(read.split())):.0f} "
            f"per word, {total / len(read) / math.log(2):.2f} bits a character; {whole} tokens"
        )


if __name__ == "__main__":
    typer.run(main)
