"""List the paper's models: their repositories on the Hub, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAPER_MODELS", "PaperModel"]


@dataclass(frozen=True)
class PaperModel:
    """Name a model of the paper: its Hub repository and its parameters, the base's for an adapter.

    ``base`` is the repository that an adapter's weights are added to; None for a model that stands alone.
    """

    repository: str
    parameters: int
    base: str | None = None


# Counted from the published configurations, tied embeddings once.
_OPT = {
    "125m": 125_239_296,
    "350m": 331_196_416,
    "1.3b": 1_315_758_080,
    "2.7b": 2_651_596_800,
    "6.7b": 6_658_473_984,
    "13b": 12_853_473_280,
    "30b": 29_974_540_288,
    "66b": 65_719_701_504,
}
_LLAMA = {"7b": 6_738_415_616, "13b": 13_015_864_320, "30b": 32_528_943_616}

PAPER_MODELS: dict[str, PaperModel] = {
    **{f"opt-{size}": PaperModel(f"facebook/opt-{size}", count) for size, count in _OPT.items()},
    **{
        f"prompteol-opt-{size}": PaperModel(f"royokong/prompteol-opt-{size}", _OPT[size], f"facebook/opt-{size}")
        for size in ("1.3b", "2.7b", "6.7b", "13b")
    },
    # The adapters name decapoda-research/llama-*-hf as their base, which has left the Hub.
    **{
        f"prompteol-llama-{size}": PaperModel(
            f"royokong/prompteol-llama-{size}", count, f"decapoda-research/llama-{size}-hf"
        )
        for size, count in _LLAMA.items()
    },
}
"""Every model that the paper or the authors' repository gives figures for, by the name in ``published.json``."""
