"""Tune the prompt of a model: find its best template, demonstration and layer by successive halving."""

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.tuning.scoring import Gain
from prompteol.tuning.successive_halving import CandidateScore, TuningProgress
from prompteol.tuning.tune import HEADER, Tokens, TuningResult, tune_prompt

__all__ = [
    "HEADER", "CandidateScore", "Gain", "ScoredPairs", "Tokens", "TuningProgress", "TuningResult", "read_pairs",
    "tune_prompt",
]  # fmt: skip
