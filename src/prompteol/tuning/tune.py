"""Tune a prompt: find the template, demonstration and layer with which a model does best on pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.demonstrations import check_demonstration, default_demonstrations, distinct, read_demonstrations
from prompteol.errors import TuningError
from prompteol.model import resolve_layer
from prompteol.prompts import Demonstration, resolve_demonstrations
from prompteol.tuning.candidate import Candidate, Template, named_templates
from prompteol.tuning.evaluator import Evaluator
from prompteol.tuning.gain import measure_gain
from prompteol.tuning.result import Tokens, TuningResult
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.successive_halving import CandidateScore, SuccessiveHalving, Watcher

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

__all__ = ["tune_prompt"]


def tune_prompt(
    model: PromptEOL,
    pairs: ScoredPairs | str | Path,
    demonstrations: str | Path | Iterable[str | Demonstration | tuple[str, str]] | None = None,
    *,
    templates: Iterable[str | Template] | None = None,
    layers: Iterable[int | float] | None = None,
    max_demonstrations: int = 1,
    exhaustive: bool = False,
    seed: int = 0,
    results: str | Path | None = None,
    watch: Watcher | None = None,
) -> TuningResult:
    """Find the template, demonstration and layer with which a model's embeddings do best.

    Every template with no demonstration and with each one is scored, all layers from one pass, on a small sample of
    the pairs first; the better ones go on to larger samples, and the last few to all pairs.

    Args:
        model: stays as it is; ``result.apply_to(model)`` gives it what was found.
        pairs: with human scores, where the score is Spearman's correlation of the cosine x 100; or anchors with their
            positives, where it is the mean reciprocal rank x 100 of the positive among 32. Or a file of them.
        demonstrations: to choose from, or a file of them; by default 124 that ship with the package.
        templates: to choose from; ``None`` is the model's own.
        layers: to choose from; ``None`` is all, and for a model with modules of its own behind the first one, whose
            weights belong to one layer, the model's.
        max_demonstrations: greater than 1 adds one after the other to the best prompt, while that helps.
        exhaustive: score every candidate on all pairs.
        seed: of the order in which pairs are sampled.
        results: a ``.jsonl`` that every finished slice of pairs is appended to; after a stop, tuning goes on from it.
            ``None``: memory only.
        watch: called with each :class:`~prompteol.tuning.TuningProgress`.

    Raises:
        TuningError: there is nothing to compare, the seed is negative, or ``results`` belong to another run.
        TemplateError: a template or a demonstration cannot be used.
        LayerError: a layer is outside the backbone.
        CorpusError: a file cannot be read or written.
    """
    if seed < 0:
        raise TuningError(f"seed={seed} is negative; give 0 or more")
    if model.technique is not None:
        raise TuningError(
            f"{model.technique} embeds by several states a text, and tuning compares single prompts and layers: load "
            "the model with technique=()"
        )
    scored = pairs if isinstance(pairs, ScoredPairs) else read_pairs(pairs)
    shots = _demonstrations(demonstrations)
    named = named_templates(model.template, templates)
    depths = _layers(model, layers)
    if max_demonstrations < 1 or not shots or not named or not depths:
        raise TuningError(
            f"nothing to compare: {len(shots)} demonstrations (at most {max_demonstrations} at once), {len(named)} "
            f"templates, {len(depths)} layers; each must be 1 or more"
        )
    ordered = scored.nested(seed)
    record = {"model": model.fingerprint(), "pairs or seed": ordered.digest, "layers": list(depths)}
    with ResultsLog(None if results is None else Path(results), record) as log:
        evaluator = Evaluator(model, ordered, depths)
        halving = SuccessiveHalving(evaluator, log, ordered, depths, exhaustive=exhaustive, watch=watch)
        ranking = _rank(halving, named, shots, max_demonstrations)
        authors = sum(evaluator.cost(one.candidate.template).authors for one in ranking)
        tokens = Tokens(log.tokens, round(authors))
    return _result(ranking, scored, ordered, named, depths, tokens, seed)


def _demonstrations(
    demonstrations: str | Path | Iterable[str | Demonstration | tuple[str, str]] | None,
) -> list[Demonstration]:
    if demonstrations is None:
        return list(default_demonstrations())
    if isinstance(demonstrations, (str, Path)):
        return distinct(read_demonstrations(demonstrations))
    return distinct(check_demonstration(one.sentence, one.word) for one in resolve_demonstrations(demonstrations))


def _layers(model: PromptEOL, layers: Iterable[int | float] | None) -> tuple[int, ...]:
    config = model.module.config
    if layers is not None:
        return tuple(sorted({resolve_layer(layer, config) for layer in layers}))
    weighted = any(True for module in list(model.children())[1:] for _ in module.parameters())
    return (model.layer,) if weighted else tuple(range(-int(config.get_text_config().num_hidden_layers), 0))


def _rank(
    halving: SuccessiveHalving, named: Mapping[str, Template], shots: Sequence[Demonstration], most: int
) -> list[CandidateScore]:
    """Compare all prompts with one demonstration or none; then those that add one to the best, while that helps."""
    plain = [Candidate(name, template) for name, template in named.items()]
    ranking = halving.run([*plain, *(one.followed_by(shot) for one in plain for shot in shots)], never_dropped=plain)
    for _ in range(most - 1):
        best = ranking[0]
        rest = [shot for shot in shots if shot not in best.candidate.demonstrations]
        if not best.candidate.demonstrations or not rest:
            break
        longer = halving.run([best.candidate.followed_by(shot) for shot in rest])
        ranking = sorted([*ranking, *longer], key=lambda one: (-one.pairs, -one.score))
        if ranking[0] is best:
            break
    return ranking


def _layer_range(layers: Sequence[int]) -> str:
    consecutive = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if consecutive else ", ".join(map(str, layers))


def _result(
    ranking: Sequence[CandidateScore],
    pairs: ScoredPairs,
    ordered: ScoredPairs,
    named: Mapping[str, Template],
    layers: Sequence[int],
    tokens: Tokens,
    seed: int,
) -> TuningResult:
    best = ranking[0]
    baseline = next(one for one in ranking if not one.candidate.demonstrations)
    gain = measure_gain(
        best.values[layers.index(best.layer)],
        baseline.values[layers.index(baseline.layer)],
        ordered.scores,
        compared=len(ranking) * len(layers),
        seed=seed,
    )
    what = "Spearman's correlation x 100 of the cosine with" if pairs.labeled else "mean reciprocal rank x 100 of"
    labels = f"the human scores of {len(pairs)} pairs" if pairs.labeled else f"{len(pairs)} pairs without scores"
    measure = f"{what} {labels} ({pairs.name})"
    outcome = f"{best.score:.2f} by {measure}; without a demonstration {baseline.score:.2f}, gain {gain}"
    provenance = {
        "demonstrations": f"the best of {len(ranking)} prompts, {outcome}"
        + ("; the gain is within noise" if best is not baseline and gain.within_noise else ""),
        "layer": f"tuned with the demonstrations, of {_layer_range(layers)}" if len(layers) > 1 else "given",
        "labels": f"{labels} ({pairs.name}); scores on these pairs flatter this model",
    }
    one_of = "tuned with the demonstrations, one of: " if len(named) > 1 else ""
    provenance["template"] = one_of + "; ".join(named)
    return TuningResult(ranking, baseline, gain, measure, tokens, provenance)
