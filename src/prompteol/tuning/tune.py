"""Tune a prompt: find the template, demonstration and layer with which a model does best on pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.demonstrations import check_demonstration, default_demonstrations, distinct, read_demonstrations
from prompteol.errors import TuningError
from prompteol.model import resolve_layer
from prompteol.prompts import Demonstration, Template, resolve_demonstrations
from prompteol.tuning.evaluator import Candidate, Evaluator, named_templates
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.scoring import Gain, measure_gain
from prompteol.tuning.successive_halving import CandidateScore, SuccessiveHalving, Watcher

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

DemonstrationSet: TypeAlias = str | Path | Iterable[str | Demonstration | tuple[str, str]]
HEADER = ("rank", "score", "layer", "pairs", "template", "demonstrations")


@dataclass(frozen=True)
class Tokens:
    """Count the tokens of a tuning run."""

    computed: int  # through the backbone, the engine's checks included, in this run and those it resumed
    authors: int  # by the authors' procedure: every candidate, all pairs, both sentences, the whole prompt; no padding

    def __str__(self) -> str:
        share = self.computed / self.authors
        return f"{self.computed:,} tokens computed, {share:.1%} of the authors' procedure ({self.authors:,})"


@dataclass(frozen=True)
class TuningResult:
    """Hold the result of :func:`~prompteol.tuning.tune_prompt`."""

    ranking: Sequence[CandidateScore]  # all candidates, the best first
    baseline: CandidateScore  # the best without demonstrations, scored on all pairs
    gain: Gain  # of the best over the baseline
    measure: str  # the metric and the pairs, in words
    tokens: Tokens
    provenance: dict[str, Any]  # how template, demonstrations and layer came to be, for the manifest and model card

    @property
    def best(self) -> CandidateScore:
        """The best candidate of those scored on all pairs."""
        return self.ranking[0]

    @property
    def candidate(self) -> Candidate:
        """The best prompt."""
        return self.best.candidate

    @property
    def layer(self) -> int:
        """The best prompt's best layer."""
        return self.best.layer

    @property
    def warning(self) -> str | None:
        """What to know before using the best setting, or ``None``."""
        if not self.candidate.demonstrations:
            return "no demonstration helps this model on these pairs; the best prompt has none"
        if self.gain.within_noise:
            chance = f"the best of {len(self.ranking)} prompts would gain as much by chance"
            return f"the gain over no demonstration, {self.gain}, is within noise: {chance}"
        return None

    def rows(self) -> list[tuple[str, ...]]:
        """Return the final table, a row a candidate, with the columns of :data:`HEADER`."""
        found: list[tuple[str, ...]] = []
        for rank, one in enumerate(self.ranking, start=1):
            figures = str(rank), f"{one.score:.2f}", str(one.layer), str(one.pairs)
            found.append((*figures, one.candidate.name, one.candidate.demonstration_text))
        return found

    def apply_to(self, model: PromptEOL) -> None:
        """Give a model the best prompt and layer, in place, ready to save."""
        model.set_template(self.candidate.template, layer=self.layer, provenance=self.provenance)


def tune_prompt(
    model: PromptEOL,
    pairs: ScoredPairs | str | Path,
    demonstrations: DemonstrationSet | None = None,
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
        raise TuningError(f"{model.technique} is no single prompt, and tuning compares those: load with technique=()")
    ordered = (pairs if isinstance(pairs, ScoredPairs) else read_pairs(pairs)).nested(seed)
    shots = _demonstrations(demonstrations)
    named = named_templates(model.template, templates)
    depths = _layers(model, layers)
    if max_demonstrations < 1 or not shots or not named or not depths:
        given = f"{len(shots)} demonstrations (at most {max_demonstrations} at once), {len(named)} templates"
        raise TuningError(f"nothing to compare: {given}, {len(depths)} layers; each must be 1 or more")
    record = {"model": model.fingerprint(), "pairs or seed": ordered.digest, "layers": list(depths)}
    with closing(ResultsLog(None if results is None else Path(results), record)) as log:
        evaluator = Evaluator(model, ordered, depths)
        halving = SuccessiveHalving(evaluator, log, ordered, depths, exhaustive=exhaustive, watch=watch)
        ranking = _rank(halving, named, shots, max_demonstrations)
        authors = sum(evaluator.cost(one.candidate.template).authors for one in ranking)
        tokens = Tokens(log.tokens, round(authors))
    return _result(ranking, ordered, named, depths, tokens, seed)


def _demonstrations(demonstrations: DemonstrationSet | None) -> list[Demonstration]:
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


def _result(
    ranking: Sequence[CandidateScore],
    pairs: ScoredPairs,
    named: Mapping[str, Template],
    layers: Sequence[int],
    tokens: Tokens,
    seed: int,
) -> TuningResult:
    best = ranking[0]
    baseline = next(one for one in ranking if not one.candidate.demonstrations)
    ours, theirs = (one.values[layers.index(one.layer)] for one in (best, baseline))
    gain = measure_gain(ours, theirs, pairs.scores, compared=len(ranking) * len(layers), seed=seed)
    what = "Spearman's correlation x 100 of the cosine with" if pairs.labeled else "mean reciprocal rank x 100 of"
    labels = f"the human scores of {len(pairs)} pairs" if pairs.labeled else f"{len(pairs)} pairs without scores"
    measure = f"{what} {labels} ({pairs.name})"
    outcome = f"{best.score:.2f} by {measure}; without a demonstration {baseline.score:.2f}, gain {gain}"
    noise = "; the gain is within noise" if best is not baseline and gain.within_noise else ""
    consecutive = layers == tuple(range(layers[0], layers[-1] + 1))
    tried = f"{layers[0]} to {layers[-1]}" if consecutive else ", ".join(map(str, layers))
    one_of = "tuned with the demonstrations, one of: " if len(named) > 1 else ""
    provenance = {
        "demonstrations": f"the best of {len(ranking)} prompts, {outcome}{noise}",
        "layer": f"tuned with the demonstrations, of {tried}" if len(layers) > 1 else "given",
        "labels": f"{labels} ({pairs.name}); scores on these pairs flatter this model",
        "template": one_of + "; ".join(named),
    }
    return TuningResult(ranking, baseline, gain, measure, tokens, provenance)
