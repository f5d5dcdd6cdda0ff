"""How fast the roads are, side by side in one run: same texts, same weights, same threads."""

from prompteol.benchmark.machine import describe_machine
from prompteol.benchmark.methods import Method, methods
from prompteol.benchmark.shapes import SHAPES, build_shape
from prompteol.benchmark.timing import Result, race
from prompteol.benchmark.workload import sentences

__all__ = ["SHAPES", "Method", "Result", "build_shape", "describe_machine", "methods", "race", "sentences"]
