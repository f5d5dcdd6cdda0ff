"""Time the packed forward in fp32, bf16, with int8 weights (torchao) and compiled by torch, and print lowest cosines.

python benchmarks/cheaper_arithmetic.py MODEL [--texts 16] [--rounds 3] [--threads 1] [--ways fp32 bf16 int8 compile]

MODEL is a folder or Hub name of a causal language model. By CPU time, in turns; int8 needs `pip install torchao`.
torch.compile takes the place of the reference forward, which it speeds up, not of packs, whose shapes are never twice
the same; it is timed against that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import process_time

import torch
from torch import Tensor, nn

from prompteol import PromptEOL
from prompteol.benchmark import sentences

Encode = Callable[[list[str]], Tensor]


def way(name: str, folder: str) -> Encode:
    """Load a model for one way to compute."""
    dtype = "bfloat16" if name == "bf16" else "float32"
    engine = "stock" if name in ("reference", "compile") else "auto"
    model = PromptEOL(folder, device="cpu", engine=engine, model_kwargs={"dtype": dtype})
    if name == "int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model.module.transformer.model, Int8WeightOnlyConfig())
    if name == "compile":
        model.compile(dynamic=True)
    return lambda texts: model.encode(texts, convert_to_tensor=True, show_progress_bar=False).float()


def seconds(encode: Encode, texts: list[str]) -> float:
    """Return the CPU time of a call."""
    start = process_time()
    encode(texts)
    return process_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", nargs="*", default=["reference", "compile", "fp32", "bf16", "int8"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = sentences(options.texts)
    ways = {name: way(name, options.model) for name in dict.fromkeys([*options.ways, "fp32"])}
    vectors = {name: nn.functional.normalize(encode(texts)) for name, encode in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, encode in ways.items():
            times[name].append(seconds(encode, texts))
    print("| way | seconds | times fp32 | lowest cosine |\n|---|---|---|---|")
    for name, spent in times.items():
        ratios = [before / after for before, after in zip(times["fp32"], spent, strict=True)]
        cosine = float((vectors[name] * vectors["fp32"]).sum(1).min())
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"| {name} | {median(spent):.2f} | {spread} | {cosine:.5f} |")


if __name__ == "__main__":
    main()
