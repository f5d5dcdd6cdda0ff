"""Tune a model: find its best template, demonstration, layer and technique by successive halving."""

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.tuning.front import Setting
from prompteol.tuning.result import FRONT_HEADER, HEADER, Tokens, TuningResult
from prompteol.tuning.scoring import Gain
from prompteol.tuning.successive_halving import CandidateScore, TuningProgress
from prompteol.tuning.tune import tune_prompt

__all__ = [
    "FRONT_HEADER", "HEADER", "CandidateScore", "Gain", "ScoredPairs", "Setting", "Tokens", "TuningProgress",
    "TuningResult", "read_pairs", "tune_prompt",
]  # fmt: skip
