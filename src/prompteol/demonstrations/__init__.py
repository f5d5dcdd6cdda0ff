"""Demonstration sets: candidates for the example that a prompt shows, read, written, checked and made.

:func:`prompteol.tuning.tune_prompt` finds the one that suits a model.
"""

from prompteol.demonstrations.checking import check_demonstration, distinct
from prompteol.demonstrations.defaults import default_demonstrations
from prompteol.demonstrations.files import read_demonstrations, write_demonstrations
from prompteol.demonstrations.making import (
    demonstrations_from_definitions,
    demonstrations_from_model,
    demonstrations_from_sentences,
)
from prompteol.demonstrations.wordnet import read_wordnet

__all__ = [
    "check_demonstration",
    "default_demonstrations",
    "demonstrations_from_definitions",
    "demonstrations_from_model",
    "demonstrations_from_sentences",
    "distinct",
    "read_demonstrations",
    "read_wordnet",
    "write_demonstrations",
]
