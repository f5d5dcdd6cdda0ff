"""Measure how fast the ways to embed are, in one run with the same texts, weights and threads."""

from prompteol.benchmark.timing import Measurement, compare, describe_machine
from prompteol.benchmark.ways import SHAPES, Method, build_shape, methods, sentences

__all__ = ["SHAPES", "Measurement", "Method", "build_shape", "compare", "describe_machine", "methods", "sentences"]
