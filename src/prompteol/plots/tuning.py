"""Draw what tuning found: scores by demonstration, by layer, and against their cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.plots.picture import BACKGROUND, BASELINE, BEST, OTHERS, drawing

if TYPE_CHECKING:
    from prompteol.tuning import TuningResult

_BARS = 30


def plot_scores(result: TuningResult, path: str | Path, *, force: bool = False) -> None:
    """Draw how scores, each of a demonstration's best layer, spread, with a line for none: the paper's Figure 2."""
    from matplotlib.ticker import MaxNLocator

    with drawing(path, force=force) as (_, axes):
        prompts = (one.alone for one in result.ranking if one.candidate.technique is None)
        shown = [one for one in prompts if len(one.candidate.demonstrations) == 1]
        exact = all(one.pairs == result.best.pairs for one in shown)
        scores = [one.score for one in shown]
        without = result.baseline.score
        better = sum(score > without for score in scores)
        axes.spines[["top", "right"]].set_visible(False)
        axes.hist(scores, bins=min(_BARS, max(5, len(scores) // 4)), color=BEST, edgecolor=BACKGROUND)
        axes.axvline(without, color=BASELINE, linewidth=2, label=f"no demonstration ({without:.2f})")
        axes.set_xlabel("score on all pairs" + (", estimated for those that left early" if not exact else ""))
        axes.set_ylabel("demonstrations")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_title(f"{better} of {len(scores)} demonstrations beat none")
        axes.legend()


def plot_layers(result: TuningResult, path: str | Path, *, force: bool = False) -> None:
    """Draw the score at each layer, of the best prompt, of no demonstration, and of the others scored on all pairs.

    All are without read-outs.
    """
    with drawing(path, force=force) as (_, axes):
        axes.spines[["top", "right"]].set_visible(False)
        best, baseline = result.best.alone, result.baseline
        finalists = (one.alone for one in result.ranking if one.pairs == result.best.pairs)
        others = (one for one in finalists if one.candidate not in (best.candidate, baseline.candidate))
        for number, one in enumerate(others):
            label = "other finalists" if number == 0 else None
            axes.plot(one.layers, one.scores, color=OTHERS, linewidth=0.8, alpha=0.7, label=label)
        axes.plot(baseline.layers, baseline.scores, color=BASELINE, marker="o", label="no demonstration")
        if best.candidate != baseline.candidate:
            axes.plot(best.layers, best.scores, color=BEST, marker="o", label="best prompt")
        axes.axvline(best.layer, color=BEST, linestyle=":", linewidth=1)
        axes.set_xticks(best.layers if len(best.layers) <= 16 else best.layers[::-4][::-1])
        axes.set_xlabel("layer (-1 is the last, after the final norm)")
        axes.set_ylabel("score on all pairs")
        axes.set_title(f"best: {best.score:.2f} at layer {best.layer}")
        axes.legend()


def plot_front(result: TuningResult, path: str | Path, *, force: bool = False) -> None:
    """Draw the score of every setting scored on all pairs against its tokens, and a line through those on the front.

    The line is the front at any dimension; where a setting has fewer than most, the dimension stands beside it.
    """
    with drawing(path, force=force) as (_, axes):
        axes.spines[["top", "right"]].set_visible(False)
        every = result.settings
        axes.scatter([one.cost.tokens for one in every], [one.score for one in every], color=OTHERS, s=14, alpha=0.7)
        front, usual = result.front, max(one.read.dimension for one in every)
        tokens, scores = [one.cost.tokens for one in front], [one.score for one in front]
        axes.scatter(tokens, scores, color=BEST, zorder=3, label="front of gain against cost")
        whole = [one for one in front if one.read.dimension == usual]
        steps = [one.cost.tokens for one in whole], [one.score for one in whole]
        axes.step(*steps, where="post", color=BEST, linewidth=1)
        for one in front:
            if one.read.dimension != usual:
                axes.annotate(
                    f" {one.read.dimension} dimensions", (one.cost.tokens, one.score), fontsize=8, va="center"
                )
        axes.axhline(result.baseline.score, color=BASELINE, linewidth=1, label="the template alone")
        axes.set_xlabel("tokens of a text, relative to the model's own template")
        axes.set_ylabel("score on all pairs")
        axes.set_title(f"best: {result.best.score:.2f} at {result.costs[result.candidate].tokens:.2f} times the tokens")
        axes.legend()
