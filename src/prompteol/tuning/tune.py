"""The search itself: from a model, pairs and demonstrations to the best setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.demonstrations import check_demonstration, distinct, read_demonstrations
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
    demonstrations: str | Path | Iterable[str | Demonstration | tuple[str, str]],
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
        demonstrations: to choose from, or a file of them.
        templates: to choose from; ``None`` is the model's own.
        layers: to choose from; ``None`` is all, and for a model with modules of its own behind the first one, whose
            weights belong to one layer, the model's.
        max_demonstrations: greater than 1 adds one after the other to the best prompt, while that helps.
        exhaustive: score every candidate on all pairs.
        seed: of the order in which pairs are taken.
        results: a ``.jsonl`` that every finished piece of work is appended to; a search that was stopped goes on where
            it was. ``None``: memory only.
        watch: called with each :class:`~prompteol.tuning.TuningProgress`.

    Raises:
        SearchError: there is nothing to compare, the seed is negative, or ``results`` belong to another search.
        TemplateError: a template or a demonstration cannot be used.
        LayerError: a layer is outside the backbone.
        CorpusError: a file cannot be read or written.
    """
    if seed < 0:
        raise TuningError(f"seed={seed} is negative; give 0 or more")
    given = pairs if isinstance(pairs, ScoredPairs) else read_pairs(pairs)
    shots = _demonstrations(demonstrations)
    named = named_templates(model.template, templates)
    depths = _layers(model, layers)
    if max_demonstrations < 1 or not shots or not named or not depths:
        raise TuningError(
            f"nothing to compare: {len(shots)} demonstrations (at most {max_demonstrations} at once), {len(named)} "
            f"templates, {len(depths)} layers; each must be 1 or more"
        )
    ordered = given.nested(seed)
    about = {"model": model.fingerprint(), "pairs or seed": ordered.digest, "layers": list(depths)}
    with ResultsLog(None if results is None else Path(results), about) as ledger:
        judge = Evaluator(model, ordered, depths)
        race = SuccessiveHalving(judge, ledger, ordered, depths, exhaustive=exhaustive, watch=watch)
        standings = _standings(race, named, shots, max_demonstrations)
        authors = sum(judge.cost(one.candidate.template).authors for one in standings)
        tokens = Tokens(ledger.tokens, round(authors))
    return _result(standings, given, ordered, named, depths, tokens, seed)


def _demonstrations(given: str | Path | Iterable[str | Demonstration | tuple[str, str]]) -> list[Demonstration]:
    if isinstance(given, (str, Path)):
        return distinct(read_demonstrations(given))
    return distinct(check_demonstration(one.sentence, one.word) for one in resolve_demonstrations(given))


def _layers(model: PromptEOL, wanted: Iterable[int | float] | None) -> tuple[int, ...]:
    config = model.module.config
    if wanted is not None:
        return tuple(sorted({resolve_layer(layer, config) for layer in wanted}))
    weighted = any(True for module in list(model.children())[1:] for _ in module.parameters())
    return (model.layer,) if weighted else tuple(range(-int(config.get_text_config().num_hidden_layers), 0))


def _standings(
    race: SuccessiveHalving, named: Mapping[str, Template], shots: Sequence[Demonstration], most: int
) -> list[CandidateScore]:
    """Race all prompts with one demonstration or none; then those that add one to the best, while that helps."""
    plain = [Candidate(name, template) for name, template in named.items()]
    standings = race.run([*plain, *(one.followed_by(shot) for one in plain for shot in shots)], to_the_end=plain)
    for _ in range(most - 1):
        best = standings[0]
        rest = [shot for shot in shots if shot not in best.candidate.demonstrations]
        if not best.candidate.demonstrations or not rest:
            break
        longer = race.run([best.candidate.followed_by(shot) for shot in rest])
        standings = sorted([*standings, *longer], key=lambda one: (-one.pairs, -one.score))
        if standings[0] is best:
            break
    return standings


def _said(layers: Sequence[int]) -> str:
    whole = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if whole else ", ".join(map(str, layers))


def _result(
    standings: Sequence[CandidateScore],
    given: ScoredPairs,
    ordered: ScoredPairs,
    named: Mapping[str, Template],
    layers: Sequence[int],
    tokens: Tokens,
    seed: int,
) -> TuningResult:
    best = standings[0]
    baseline = next(one for one in standings if not one.candidate.demonstrations)
    gain = measure_gain(
        best.values[layers.index(best.layer)],
        baseline.values[layers.index(baseline.layer)],
        ordered.scores,
        compared=len(standings) * len(layers),
        seed=seed,
    )
    what = "Spearman's correlation x 100 of the cosine with" if given.labeled else "mean reciprocal rank x 100 of"
    labels = f"the human scores of {len(given)} pairs" if given.labeled else f"{len(given)} pairs without scores"
    measure = f"{what} {labels} ({given.name})"
    outcome = f"{best.score:.2f} by {measure}; without a demonstration {baseline.score:.2f}, gain {gain}"
    chosen = {
        "demonstrations": f"the best of {len(standings)} prompts, {outcome}"
        + ("; the gain is within noise" if best is not baseline and gain.within_noise else ""),
        "layer": f"searched with the demonstrations, of {_said(layers)}" if len(layers) > 1 else "given",
        "labels": f"{labels} ({given.name}); scores on these pairs flatter this model",
    }
    one_of = "searched with the demonstrations, one of: " if len(named) > 1 else ""
    chosen["template"] = one_of + "; ".join(named)
    return TuningResult(standings, baseline, gain, measure, tokens, chosen)
