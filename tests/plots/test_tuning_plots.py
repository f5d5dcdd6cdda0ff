"""The pictures of a search are written, show what they say, and refuse before any work what cannot be written."""

import pytest

from prompteol.errors import CorpusError
from prompteol.plots import tuning as plots

SIGNATURE = {".png": b"\x89PNG", ".svg": b"<?xml"}


@pytest.fixture(params=[True, False])
def found(request, model, pairs, shots, tune):
    return tune(model, pairs, shots, exhaustive=request.param)


def test_all_pictures(found, tmp_path):
    for draw in (plots.plot_scores, plots.plot_layers, plots.plot_front):
        for suffix, start in SIGNATURE.items():
            path = tmp_path / f"{draw.__name__}{suffix}"
            draw(found, path)
            assert path.read_bytes().startswith(start)
            with pytest.raises(CorpusError, match="exists already"):
                draw(found, path)


def test_the_figures_show_the_scores(found, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("prompteol.plots.picture.save_picture", lambda figure, path, **_: drawn.append(figure.axes[0]))
    plots.plot_scores(found, tmp_path / "a.png")
    plots.plot_layers(found, tmp_path / "b.png")
    scores, layers = drawn
    shown = [one for one in found.ranking if one.candidate.demonstrations]
    assert sum(bar.get_height() for bar in scores.patches) == len(shown)
    exact = min(one.pairs for one in shown) == found.best.pairs
    assert ("estimated" in scores.get_xlabel()) is not exact
    assert all(tick == int(tick) for tick in scores.get_yticks())
    assert scores.get_lines()[0].get_xdata()[0] == pytest.approx(found.baseline.score)
    assert any(list(line.get_ydata()) == list(found.best.scores) for line in layers.get_lines())


def test_the_front_is_drawn_among_all_settings(model, pairs, shots, tune, tmp_path, monkeypatch):
    found = tune(model, pairs, shots[:3], techniques=["all-but-the-top:components=1", "embed-filter"])
    drawn = []
    monkeypatch.setattr("prompteol.plots.picture.save_picture", lambda figure, path, **_: drawn.append(figure.axes[0]))
    plots.plot_front(found, tmp_path / "front.png")
    every, front = (group.get_offsets() for group in drawn[0].collections)
    assert [tuple(point) for point in front] == [(one.cost.tokens, one.score) for one in found.front]
    assert len(every) == len(found.settings) > len(front)
    assert {text.get_text().strip() for text in drawn[0].texts} <= {"16 dimensions"}


def test_no_picture_without_a_suffix_that_names_one(tmp_path):
    with pytest.raises(CorpusError, match="ends in"):
        plots.plot_scores(None, tmp_path / "a.doc")
