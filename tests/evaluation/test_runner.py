"""Each sentence is embedded once, a missing task stops nothing, and a result says how to repeat it."""

import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from prompteol import PromptEOL
from prompteol.errors import EvaluationError
from prompteol.evaluation import SentEvalFolder, evaluate, load_benchmark


@pytest.fixture(autouse=True)
def _few_folds(monkeypatch):
    monkeypatch.setattr("prompteol.evaluation.scoring._FOLDS", 3)


def test_every_sentence_is_embedded_once_over_all_tasks(whole_senteval, encoder):
    benchmark = load_benchmark(SentEvalFolder(whole_senteval), ["all", "dev"])
    assert len(benchmark.sentences()) < benchmark.size
    evaluation = evaluate(encoder, benchmark, name="bag")
    assert sorted(encoder.asked) == sorted(benchmark.sentences())
    assert len(evaluation.scores) == 16
    assert evaluation.average("sts") == pytest.approx(
        np.mean(
            [evaluation.scores[name].score for name in ("STS12", "STS13", "STS14", "STS15", "STS16")]
            + [evaluation.scores[name].score for name in ("STS-B", "SICK-R")]
        )
    )


def test_missing_tasks_are_reported_and_the_rest_goes_on(senteval, encoder):
    shutil.rmtree(senteval / "CR")
    (senteval / "SICK/SICK_test_annotated.txt").unlink()
    benchmark = load_benchmark(SentEvalFolder(senteval), ["sts", "cr", "subj", "trec"])
    evaluation = evaluate(encoder, benchmark, name="bag")
    assert set(evaluation.missing) == {"CR", "SICK-R"}
    assert "SICK_test_annotated.txt is not there" in evaluation.missing["SICK-R"]
    assert len(evaluation.scores) == 8
    assert (evaluation.average("sts"), evaluation.average("transfer")) == (None, None)


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match=r"none of the tasks STS12, .* was found: .*STS\.input\.MSRpar\.txt"):
        load_benchmark(SentEvalFolder(tmp_path))


def test_an_encoder_needs_nothing_but_encode(whole_senteval, encoder):
    class Bare:
        def encode(self, sentences):
            return encoder.encode(sentences)

    benchmark = load_benchmark(SentEvalFolder(whole_senteval), ["sts13"])
    bare = evaluate(Bare(), benchmark, name="bare")
    assert bare.scores["STS13"].score == evaluate(encoder, benchmark, name="bag").scores["STS13"].score
    assert bare.model.dtype is None


def test_a_prompteol_model_describes_itself(whole_senteval, tiny):
    model = PromptEOL(tiny("opt"), demonstrations=[("A man is smoking.", "Smoking")], layer=-2, device="cpu")
    benchmark = load_benchmark(SentEvalFolder(whole_senteval), ["sts-b"])
    evaluation = evaluate(model, benchmark, name="tiny")
    said = evaluation.model
    assert said.template == 'This sentence : "{text}" means in one word:"'
    assert (said.normalization, said.demonstrations) == ("paper", (("A man is smoking.", "Smoking"),))
    assert (said.layer, said.dtype, said.dimensions) == (-2, "float32", 32)
    assert said.parameters == sum(p.numel() for p in model.parameters())
    assert said.fingerprint == model.fingerprint()
    assert evaluation.versions["torch"] == torch.__version__
    assert list(evaluation.scores["STS-B"].data) == ["STS/STSBenchmark/sts-test.csv"]
    assert evaluation.created
    assert evaluation.seconds > 0


def test_progress_moves_to_the_end(whole_senteval, encoder):
    bars = {}

    @contextmanager
    def progress(label, total):
        bars[label] = [total, 0]
        yield lambda count: bars[label].__setitem__(1, bars[label][1] + count)

    benchmark = load_benchmark(SentEvalFolder(whole_senteval), ["sts12", "trec"])
    evaluate(encoder, benchmark, name="bag", progress=progress)
    assert list(bars) == ["bag: embedding", "bag: scoring"]
    assert all(total == moved > 0 for total, moved in bars.values())
