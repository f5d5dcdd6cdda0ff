"""Tune a model: find the template, demonstration, layer and technique with which it does best on pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from prompteol.data.scored_pairs import ScoredPairs, read_pairs
from prompteol.demonstrations import check_demonstration, default_demonstrations, distinct, read_demonstrations
from prompteol.errors import TuningError
from prompteol.model import resolve_layer
from prompteol.prompts import Demonstration, Template, resolve_demonstrations
from prompteol.techniques import Technique
from prompteol.tuning.candidates import Candidate, named_templates
from prompteol.tuning.choosing import ChosenTechniques, choose_techniques
from prompteol.tuning.evaluator import Evaluator
from prompteol.tuning.front import TextCost
from prompteol.tuning.result import Tokens, TuningResult
from prompteol.tuning.results_log import ResultsLog
from prompteol.tuning.scoring import measure_gain
from prompteol.tuning.stages import Stages
from prompteol.tuning.successive_halving import CandidateScore, SuccessiveHalving, Watcher
from prompteol.validation import as_texts

if TYPE_CHECKING:
    from prompteol.sentence_transformers import PromptEOL

DemonstrationSet: TypeAlias = str | Path | Iterable[str | Demonstration | tuple[str, str]]


def tune_prompt(
    model: PromptEOL,
    pairs: ScoredPairs | str | Path,
    demonstrations: DemonstrationSet | None = None,
    *,
    templates: Iterable[str | Template] | None = None,
    layers: Iterable[int | float] | None = None,
    techniques: Iterable[str | Technique] | None = None,
    fit_texts: Iterable[str] | None = None,
    budget: float | None = None,
    max_demonstrations: int = 1,
    exhaustive: bool = False,
    seed: int = 0,
    results: str | Path | None = None,
    watch: Watcher | None = None,
) -> TuningResult:
    """Find the template, demonstration, layer and technique with which a model's embeddings do best.

    Every template with no demonstration and with each one is scored, all layers from one pass, on a small sample of
    the pairs first; the better ones go on to larger samples, and the last few to all pairs. The best of them are then
    tried under each forward technique, in the same way. Read-outs are fitted on the states of those that are scored on
    all pairs, and cost no token.

    Args:
        model: stays as it is; ``result.apply_to(model)`` gives it what was found.
        pairs: with human scores, where the score is Spearman's correlation of the cosine x 100; or anchors with their
            positives, such as queries with a relevant document, where it is the mean reciprocal rank x 100 of the
            positive among 32. Or a file of them.
        demonstrations: the demonstrations to choose from, or a file of them; by default 124 that ship with the package.
        templates: the templates to choose from; ``None`` is the model's own.
        layers: the layers to choose from; ``None`` is all, but for a model with own modules behind the first one, whose
            weights belong to one layer, the model's.
        techniques: names or configurations to choose from; ``None`` is all of :data:`prompteol.TECHNIQUES` that
            fit the model, ``()`` none.
        fit_texts: the texts without labels to fit read-outs on; ``None`` takes the sentences of the pairs.
        budget: the most tokens per text on average, relative to the model's own template without demonstrations:
            ``2`` is twice as many. ``None`` sets no limit.
        max_demonstrations: if greater than 1, demonstrations are added to the best prompt one by one, while that helps.
        exhaustive: score every candidate on all pairs, under every technique.
        seed: the seed of the order in which pairs are sampled.
        results: a ``.jsonl`` that every finished slice of pairs is appended to; after a stop, tuning goes on from it.
            ``None`` keeps results in memory only.
        watch: called with each :class:`~prompteol.tuning.TuningProgress`.

    Raises:
        TuningError: there is nothing to compare, the seed is negative, or ``results`` belong to another run.
        TemplateError: a template or a demonstration cannot be used.
        LayerError: a layer is outside the backbone.
        SettingError: there is no such technique, or it does not fit the model.
        CorpusError: a file cannot be read or written.
    """
    if seed < 0:
        raise TuningError(f"seed={seed} is negative; give 0 or more")
    if model.technique is not None:
        raise TuningError(f"{model.technique} is no single prompt, from which tuning starts: load with technique=()")
    ordered = (pairs if isinstance(pairs, ScoredPairs) else read_pairs(pairs)).nested(seed)
    shots = _demonstrations(demonstrations)
    named = named_templates(model.template, templates)
    depths = _layers(model, layers)
    if max_demonstrations < 1 or not shots or not named or not depths:
        given = f"{len(shots)} demonstrations (at most {max_demonstrations} at once), {len(named)} templates"
        raise TuningError(f"nothing to compare: {given}, {len(depths)} layers; each must be 1 or more")
    texts = None if fit_texts is None else as_texts(list(fit_texts))[0]
    chosen = choose_techniques(model, techniques, texts, everywhere=exhaustive)
    record = {"model": model.fingerprint(), "pairs or seed": ordered.digest, "layers": list(depths)}
    with closing(ResultsLog(None if results is None else Path(results), record)) as log:
        evaluator = Evaluator(model, ordered, depths, chosen.fitter)
        own = Candidate("", model.template.with_demonstrations(()))
        plain = [Candidate(name, template) for name, template in named.items()]
        halving = SuccessiveHalving(evaluator, log, ordered, exhaustive=exhaustive, watch=watch)
        stages = Stages(halving, own, plain, shots, chosen, max_demonstrations, budget)
        ranking = stages.run()
        tokens = Tokens(log.tokens, round(stages.authors))
    costs = {one.candidate: stages.text_cost(one.candidate) for one in ranking}
    fitted_on = evaluator.fit_texts(ranking[0].candidate.template)
    return _result(ranking, ordered, named, depths, tokens, chosen, costs, fitted_on, seed)


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


def _result(
    ranking: Sequence[CandidateScore],
    pairs: ScoredPairs,
    named: Mapping[str, Template],
    layers: Sequence[int],
    tokens: Tokens,
    chosen: ChosenTechniques,
    costs: Mapping[Candidate, TextCost],
    fit_texts: Sequence[str],
    seed: int,
) -> TuningResult:
    best = ranking[0]
    alone = (one.alone for one in ranking if one.candidate.plain and one.pairs == len(pairs))
    baseline = max(alone, key=lambda one: one.score)
    ours, theirs = (one.values[one.reads.index(one.read)] for one in (best, baseline))
    compared = sum(len(one.reads) for one in ranking)
    gain = measure_gain(ours, theirs, pairs.scores, compared=compared, seed=seed)
    what = "Spearman's correlation x 100 of the cosine with" if pairs.labeled else "mean reciprocal rank x 100 of"
    labels = f"the human scores of {len(pairs)} pairs" if pairs.labeled else f"{len(pairs)} pairs without scores"
    measure = f"{what} {labels} ({pairs.name})"
    outcome = f"{best.score:.2f} by {measure}; the template alone {baseline.score:.2f}, gain {gain}"
    noise = "; the gain is within noise" if not best.candidate.plain and gain.within_noise else ""
    consecutive = layers == tuple(range(layers[0], layers[-1] + 1))
    tried = f"{layers[0]} to {layers[-1]}" if consecutive else ", ".join(map(str, layers))
    one_of = "tuned with the demonstrations, one of: " if len(named) > 1 else ""
    provenance = {
        "demonstrations": f"the best of {len(ranking)} prompts, {outcome}{noise}",
        "layer": f"tuned with the demonstrations, of {tried}" if len(layers) > 1 else "given",
        "labels": f"{labels} ({pairs.name}); scores on these pairs flatter this model",
        "template": one_of + "; ".join(named),
    }
    if chosen.names:
        used = "none" if best.technique_text == "-" else best.technique_text
        provenance["technique"] = f"{used}, tuned with the demonstrations, of: none, {', '.join(chosen.names)}"
    return TuningResult(
        ranking, baseline, gain, measure, tokens, provenance, pairs, costs, fit_texts, chosen.skipped, seed
    )
