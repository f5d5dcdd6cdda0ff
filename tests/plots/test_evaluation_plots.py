"""The pictures hold the bars, points and lines they should, and are written."""

from dataclasses import replace

import pytest

from prompteol.errors import CorpusError, EvaluationError
from prompteol.evaluation import Evaluation, TaskScore
from prompteol.evaluation.results import ModelDescription
from prompteol.plots.evaluation import plot_scaling, plot_tasks

pytest.importorskip("matplotlib")

STS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R")
OPT = ModelDescription("facebook/opt-125m", 'This sentence : "{text}" means in one word:"', "paper", (), -1)
SMALL, LARGE = replace(OPT, parameters=125_239_296), replace(OPT, name="facebook/opt-1.3b", parameters=1_315_758_080)


def evaluation(model, score, tasks=STS):
    return Evaluation(model, {name: TaskScore(name, "spearman", score, 1) for name in tasks})


@pytest.fixture
def drawn(monkeypatch):
    """The axes of what was drawn last."""
    from matplotlib.figure import Figure

    kept = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k))[1])
    return lambda: kept[-1].axes[0]


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_bars_for_each_task_and_the_average(tmp_path, drawn):
    plot_tasks([evaluation(OPT, 67), evaluation(ModelDescription("tf-idf"), 60)], tmp_path / "bars.png")
    axes = drawn()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [*STS, "Avg."]
    assert [[bar.get_height() for bar in container] for container in axes.containers] == [[67] * 8, [60] * 8]
    assert labels(axes) == ["facebook/opt-125m", "tf-idf"]
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_task_leaves_a_gap(tmp_path, drawn):
    plot_tasks([evaluation(OPT, 67), evaluation(ModelDescription("x"), 60, STS[:2])], tmp_path / "bars.svg")
    assert [len(container) for container in drawn().containers] == [8, 2]


def test_size_against_score_with_the_papers_line(tmp_path, drawn):
    plot_scaling([evaluation(LARGE, 73), evaluation(SMALL, 66)], tmp_path / "scaling.pdf")
    axes = drawn()
    assert axes.get_xscale() == "log"
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["ours, no demonstration"] == [[SMALL.parameters, 66], [LARGE.parameters, 73]]
    assert lines["paper, no demonstration"][0] == [SMALL.parameters, 67.00]
    assert len(lines["paper, no demonstration"]) == 8
    assert {text.get_text() for text in axes.texts} == {"opt-125m", "1.3b"}


def test_the_papers_line_is_the_mean_of_the_shared_tasks(tmp_path, drawn):
    plot_scaling([evaluation(SMALL, 66, ("STS12", "STS-B"))], tmp_path / "scaling.png")
    axes = drawn()
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["paper, one demonstration"][0][1] == pytest.approx((62.22 + 67.80) / 2)
    assert "paper, no demonstration" not in lines
    assert axes.get_ylabel() == "mean of STS12, STS-B"


def test_other_families_are_not_joined(tmp_path, drawn):
    other = replace(OPT, name="mine/nano", parameters=7_000_000)
    plot_scaling([evaluation(SMALL, 66), evaluation(LARGE, 73), evaluation(other, 70)], tmp_path / "scaling.png")
    ours = [line for line in drawn().lines if line.get_markersize() == 8]
    assert sorted(len(line.get_xdata()) for line in ours) == [1, 2]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(EvaluationError, match="no transfer score to draw: evaluate with --tasks transfer"):
        plot_tasks([evaluation(OPT, 1)], tmp_path / "x.png", suite="transfer")
    with pytest.raises(EvaluationError, match="nothing to draw"):
        plot_scaling([evaluation(ModelDescription("tf-idf"), 60)], tmp_path / "x.png")


def test_a_format_matplotlib_does_not_know(tmp_path):
    with pytest.raises(CorpusError, match=r"x\.doc': expected a name that ends in"):
        plot_tasks([evaluation(OPT, 1)], tmp_path / "x.doc")
