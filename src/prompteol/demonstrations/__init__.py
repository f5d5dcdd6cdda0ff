"""Read, write, check and make sets of demonstrations: candidates for the example that a prompt shows.

:func:`prompteol.tuning.tune_prompt` finds the one that suits a model.
"""

from prompteol.demonstrations.files import (
    check_demonstration,
    default_demonstrations,
    distinct,
    read_demonstrations,
    write_demonstrations,
)
from prompteol.demonstrations.making import (
    demonstrations_from_definitions,
    demonstrations_from_model,
    demonstrations_from_sentences,
    read_wordnet,
)

__all__ = [
    "check_demonstration", "default_demonstrations", "demonstrations_from_definitions", "demonstrations_from_model",
    "demonstrations_from_sentences", "distinct", "read_demonstrations", "read_wordnet", "write_demonstrations",
]  # fmt: skip
