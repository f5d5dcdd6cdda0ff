"""Measure how fast the ways to embed are, in one run with the same texts, weights and threads."""

from prompteol.benchmark.methods import Method, methods
from prompteol.benchmark.shapes import SHAPES, build_shape, sentences
from prompteol.benchmark.timing import Measurement, compare, describe_machine

__all__ = ["SHAPES", "Measurement", "Method", "build_shape", "compare", "describe_machine", "methods", "sentences"]
