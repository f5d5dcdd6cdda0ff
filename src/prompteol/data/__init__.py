"""Read data sets: scored pairs, training triplets, and tables from the Hub."""

from prompteol.data.columns import Objective
from prompteol.data.hub import hub_table, license_on_hub
from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.data.training_examples import TrainingExamples, read_examples

__all__ = ["Objective", "ScoredPairs", "TrainingExamples", "hub_table", "license_on_hub", "read_examples", "read_pairs"]
