"""Find the template, demonstration and layer that suit a model, for a tenth of the tokens."""

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.tuning.gain import Gain
from prompteol.tuning.result import HEADER, Tokens, TuningResult
from prompteol.tuning.successive_halving import CandidateScore, TuningProgress
from prompteol.tuning.tune import tune_prompt

__all__ = [
    "HEADER",
    "CandidateScore",
    "Gain",
    "ScoredPairs",
    "Tokens",
    "TuningProgress",
    "TuningResult",
    "read_pairs",
    "tune_prompt",
]
