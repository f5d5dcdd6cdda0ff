"""Long work shows progress: a line now and then into a pipe, and on a terminal a bar that moves with every batch."""

import pytest
import torch

from prompteol import PromptEOL
from prompteol.cli import progress as shown
from prompteol.plots.picture import plot_similarity
from prompteol.progress import batches, no_progress


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((512, 2000, "texts", 128.0), "512 of 2,000 texts, 128/s, 0:00:12 left"),
        ((512, None, "texts", 0.5), "512 texts, 0.5/s"),
        ((2000, 2000, "runs", 1664.2), "2,000 of 2,000 runs, 1,664/s"),
        ((0, 5, "texts", None), "0 of 5 texts"),
    ],
)
def test_a_pace_says_rows_rate_and_the_time_left(arguments, expected):
    assert shown.pace(*arguments) == expected


def test_lines_come_seldom_and_ever_more_rarely(capsys):
    now = [0.0]
    lines = shown.Lines(clock=lambda: now[0])
    for second in range(400):
        now[0] = float(second)
        lines.say(lambda: f"at {now[0]:.0f}")

    seconds = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert seconds == [10, 30, 70, 130, 190, 250, 310, 370]


def test_a_pipe_gets_lines_on_stderr_alone(capsys, monkeypatch):
    monkeypatch.setattr(shown, "_FIRST_LINE", 0.0)
    with shown.progress("encoding", 10) as advance:
        advance(4)

    captured = capsys.readouterr()
    assert captured.err.startswith("encoding: 4 of 10 texts, ")
    assert captured.err.rstrip().endswith(" left")
    assert captured.out == ""


def test_a_bar_moves_within_a_chunk_and_counts_every_text_once(base):
    model = PromptEOL(base, device="cpu")
    counts = []
    texts = [f"Text {number % 7}." for number in range(12)]
    with batches(model, counts.append) as chunk:
        model.encode(texts, batch_size=2)
        within = len([count for count in counts if count])
        chunk(len(texts))
        chunk(3)

    assert within >= 4
    assert sum(counts) == 15
    assert not model.module._forward_hooks
    with batches(object(), counts.append) as chunk, no_progress("nothing", None) as advance:
        chunk(2)
        advance(2)
    assert counts[-1] == 2


def test_threads_are_those_asked_for(prompteol, base, monkeypatch):
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setenv("RAYON_NUM_THREADS", "4")
    for command in (["similarity", "a", "b"], ["words", "a"], ["encode", "-", "-o", "-"]):
        result = prompteol(*command, "-m", base, "--threads", 1, input="a\n")
        assert result.exit_code == 0, result.output
    assert threads == [1, 1, 1]


def test_the_colors_of_a_heatmap_are_spread_over_different_texts(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("prompteol.plots.picture.save_picture", lambda figure, *_, **__: figures.append(figure))
    plot_similarity(["a cat", "", "$1"], [[1, 0.90, 0.91], [0.90, 1, 0.95], [0.91, 0.95, 1]], tmp_path / "a.png")

    axes = figures[0].axes[0]
    assert axes.images[0].get_clim() == (0.90, 0.95)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a cat", "(empty)", r"\$1"]
    assert "1.00" in [text.get_text() for text in axes.texts]
