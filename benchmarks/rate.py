"""Print the packed forward's share of the rate of matrix products, how far it is ahead of stock, and what the rest is.

python benchmarks/rate.py MODEL [--texts 32] [--rounds 3] [--threads 1] [--demonstrations none opt-2.7b]

MODEL is a folder or Hub name of a causal language model, or the name of a shape (opt-125m, qwen3-0.6b, gemma3-270m) for
one with random weights. Two rows of `prompteol benchmark`, by CPU time, for a machine that does other work.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from tempfile import TemporaryDirectory
from time import process_time

import torch

from prompteol import PromptEOL
from prompteol.benchmark import SHAPES, build_shape, compare, methods, sentences


@contextmanager
def folder_of(model: str) -> Iterator[str]:
    """Give a folder or name as it is, and a folder with random weights for a shape."""
    if model not in SHAPES:
        yield model
        return
    with TemporaryDirectory() as folder:
        yield build_shape(model, folder)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--demonstrations", nargs="*", default=["none", "opt-2.7b"])
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = ("demonstration", "way", "seconds", "times stock", "of GEMM rate", "where the time goes")
    print("|", " | ".join(columns), "|\n" + "|---" * len(columns) + "|")
    with folder_of(options.model) as folder:
        for name in options.demonstrations:
            demonstrations = None if name == "none" else name
            loading = {"device": "cpu", "model_kwargs": {"dtype": options.dtype}}
            model = PromptEOL(folder, demonstrations=demonstrations, **loading)
            pair = islice(methods(folder, model), 2)
            for result in compare(pair, sentences(options.texts), repeats=options.rounds, clock=process_time):
                ratio, share = result.ratio, result.gemm_share
                shares = ", ".join(f"{kind} {part:.0%}" for kind, part in result.time_shares.items())
                print(
                    f"| {name} | {result.name} | {sorted(result.seconds)[len(result.seconds) // 2]:.2f} "
                    f"| {ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f}) "
                    f"| {share.median:.0%} ({share.low:.0%}-{share.high:.0%}) | {shares} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
