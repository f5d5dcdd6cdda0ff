"""Train on packed rows and on padded ones in turns: steps a minute, tokens computed, and the two loss curves.

    python benchmarks/packed_training.py BASE --data nli.csv --batch-size 32 --demonstrations opt-125m

Both learn from the same batches, each with its own copy of the model. Dropout is off, so that the curves can be
compared. Seconds are of the processor: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import process_time

import torch
from rich.console import Console
from rich.table import Table

from prompteol import PromptEOL
from prompteol.data import read_examples
from prompteol.training import Lora, Recipe, contrastive_loss, packed_rows
from prompteol.training.inputs import training_dataset
from prompteol.training.lora import attach_adapter


class Side:
    """Hold one of the two trainings, and what its steps took."""

    def __init__(self, base: str | None, recipe: Recipe, demonstrations: str, device: str) -> None:
        torch.manual_seed(recipe.seed)
        kwargs = {"dtype": torch.float32}
        self.model = PromptEOL(base, demonstrations=demonstrations or None, device=device, model_kwargs=kwargs)
        if recipe.lora is not None:
            attach_adapter(self.model, recipe.lora)
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self.loss = contrastive_loss(self.model, recipe)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate)
        self.curve: list[float] = []
        self.seconds: list[float] = []

    def step(self, columns: list[list[str]]) -> None:
        """Take a step on a batch."""
        start = process_time()
        loss = self.loss([self.model.preprocess(texts) for texts in columns], None)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seconds.append(process_time() - start)
        self.curve.append(float(loss.detach()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", help="default: the model that ships with the package")
    parser.add_argument("--data", required=True)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3, help="after a first one, which compares and is not counted")
    parser.add_argument("--demonstrations", default="", help="a preset's name or sentence=>word; default: none")
    parser.add_argument("--lora-rank", type=int, default=64)
    parser.add_argument("--mini-batch-size", type=int)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lora = Lora(given.lora_rank, dropout=0.0) if given.lora_rank else None
    options = {"batch_size": given.batch_size, "mini_batch_size": given.mini_batch_size}
    recipe = Recipe(lora=lora, learning_rate=given.learning_rate, **options)
    packed, padded = (Side(given.base, recipe, given.demonstrations, given.device) for _ in range(2))
    rows = training_dataset(read_examples(given.data), packed.model, recipe).shuffle(recipe.seed)
    columns = [list(rows[name]) for name in ("anchor", "positive", "negative")]
    whole = 0
    with packed_rows(packed.model) as engine:
        for turn in range(given.steps + 1):
            batch = [column[turn * given.batch_size : (turn + 1) * given.batch_size] for column in columns]
            packed.step(batch)
            padded.step(batch)
            features = [padded.model.preprocess(texts) for texts in (batch[0], batch[1] + batch[2])]
            whole += sum(one["input_ids"].numel() for one in features)
    counters = engine.counters
    computed = counters.text_tokens + counters.prefix_tokens + counters.stock_tokens
    table = Table("rows", "seconds a step", "steps a minute", "tokens a step", "last loss")
    for name, side, tokens in (("packed", packed, computed), ("padded", padded, whole)):
        seconds = median(side.seconds[1:])
        each = tokens / (given.steps + 1)
        table.add_row(name, f"{seconds:.2f}", f"{60 / seconds:.2f}", f"{each:,.0f}", f"{side.curve[-1]:.6f}")
    Console().print(table)
    apart = max(abs(one - other) for one, other in zip(packed.curve, padded.curve, strict=True))
    faster = median(padded.seconds[1:]) / median(packed.seconds[1:])
    print(f"{faster:.2f} times the steps a minute; losses differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()
