"""Measure how fast the ways to embed are, in one run with the same texts, weights and threads."""

from prompteol.benchmark.timing import Measurement, compare, describe_machine
from prompteol.benchmark.ways import (
    OURS,
    SHAPES,
    STOCK,
    Method,
    build_shape,
    computes_bf16,
    methods,
    sentences,
    short_sentences,
)

__all__ = [
    "OURS", "SHAPES", "STOCK", "Measurement", "Method", "build_shape", "compare", "computes_bf16", "describe_machine",
    "methods", "sentences", "short_sentences",
]  # fmt: skip
