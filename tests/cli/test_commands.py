"""``similarity``, ``words``, ``create`` and ``info``: tables for people, tab-separated lines for pipes."""

import csv
import io
import os

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL
from prompteol.cli import console

TEXTS = ["A man is playing a guitar.", "Two dogs run in the snow.", "The cat sat on the mat."]


@pytest.fixture(scope="module")
def model(base):
    return PromptEOL(base, device="cpu")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(console, "is_terminal", lambda: True)


def rows(result):
    assert result.exit_code == 0, result.output
    return list(csv.reader(io.StringIO(result.stdout), delimiter="\t"))


def matrix(model, texts):
    vectors = model.encode(texts)
    return model.similarity(vectors, vectors).numpy()


# similarity


def test_two_texts_are_one_pair(prompteol, model, base):
    ((score, left, right),) = rows(prompteol("similarity", *TEXTS[:2], "-m", base))

    assert (left, right) == tuple(TEXTS[:2])
    assert float(score) == pytest.approx(matrix(model, TEXTS)[0, 1], abs=1e-5)


def test_three_texts_are_a_matrix_and_so_are_two_when_asked(prompteol, model, base):
    three = np.array(rows(prompteol("similarity", *TEXTS, "-m", base)), float)
    two = np.array(rows(prompteol("similarity", *TEXTS[:2], "--matrix", "-m", base)), float)

    np.testing.assert_allclose(three, matrix(model, TEXTS), atol=1e-5)
    np.testing.assert_allclose(two, matrix(model, TEXTS[:2]), atol=1e-5)


def test_a_table_of_two_columns_is_compared_row_by_row(prompteol, model, base, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"left\tright\n{TEXTS[0]}\t{TEXTS[1]}\n{TEXTS[0]}\t{TEXTS[2]}\n")

    forwards = rows(prompteol("similarity", path, "-m", base))
    backwards = rows(prompteol("similarity", path, "-c", "right", "-c", "left", "-m", base))

    expected = matrix(model, TEXTS)[0, 1:]
    np.testing.assert_allclose([float(row[0]) for row in forwards], expected, atol=1e-5)
    assert [row[1:] for row in forwards] == [[TEXTS[0], TEXTS[1]], [TEXTS[0], TEXTS[2]]]
    assert [row[1:] for row in backwards] == [[TEXTS[1], TEXTS[0]], [TEXTS[2], TEXTS[0]]]


def test_lines_and_one_column_are_a_matrix(prompteol, model, base, sentences, tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n" + "".join(f"1,{text}\n" for text in TEXTS))

    expected = matrix(model, TEXTS)
    for arguments in ([sentences], [tmp_path / "a.csv", "--column", "text"], [tmp_path / "a.csv", "--matrix"]):
        scores = np.array(rows(prompteol("similarity", *arguments, "-m", base)), float)
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_terminal_gets_a_table_in_which_text_is_only_text(prompteol, base, terminal):
    result = prompteol("similarity", "[bold]loud[/bold]", "a\x1b[31mred\x07", "-m", base)

    assert result.exit_code == 0, result.output
    assert "[bold]loud[/bold]" in result.stdout
    assert "a [31mred" in result.stdout
    assert "\x07" not in result.stdout


def test_a_matrix_too_wide_for_a_terminal_says_what_to_do(prompteol, base, terminal):
    result = prompteol("similarity", *(f"Text {number}." for number in range(13)), "-m", base)

    assert result.exit_code == 0, result.output
    assert "--plot" in result.stderr


def test_a_heatmap_is_drawn_and_not_overwritten(prompteol, base, tmp_path):
    picture = tmp_path / "heat.png"

    drawn = prompteol("similarity", *TEXTS, "costs $1 and $2", "--plot", picture, "-m", base)
    again = prompteol("similarity", *TEXTS, "--plot", picture, "-m", base)

    assert drawn.exit_code == 0, drawn.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (again.exit_code, "--force" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.txt"], "no such file"),
        (["a cat"], "no such file: 'a cat'; to compare texts instead of a file's, give two or more"),
        (["a.csv"], "its columns: 'a', 'b', 'c'"),
        (["a.csv", "-c", "a", "-c", "b", "-c", "c"], "3 columns: name one for a matrix, two for pairs"),
        (["x", "y", "--column", "a"], "belong to one file"),
        (["x", "y", "--plot", "heat.docx"], "expected a name that ends in"),
    ],
)
def test_similarity_refuses_what_it_cannot_compare(prompteol, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("a,b,c\n1,2,3\n")

    result = prompteol("similarity", *arguments)

    assert result.exit_code == 2, result.output
    assert message in result.stderr


# words


def test_words_are_those_of_the_model(prompteol, model, base):
    result = prompteol("words", *TEXTS[:2], "-k", 3, "-m", base)
    expected = [
        [text, word.text, f"{word.probability:.6f}"]
        for text, found in zip(TEXTS[:2], model.words(TEXTS[:2], k=3), strict=True)
        for word in found
    ]

    assert rows(result) == expected


def test_words_read_lines_from_a_pipe(prompteol, base):
    result = prompteol("words", "-", "-k", 1, "-m", base, input="one\ntwo\n")

    assert [row[0] for row in rows(result)] == ["one", "two"]


def test_words_are_drawn_as_bars_for_a_terminal(prompteol, base, terminal):
    result = prompteol("words", TEXTS[0], "-m", base)

    assert result.exit_code == 0, result.output
    assert TEXTS[0] in result.stdout
    assert "█" in result.stdout


@pytest.mark.parametrize("command", ["words", "similarity"])
def test_a_text_that_names_a_file_is_embedded_with_a_warning(prompteol, base, sentences, command):
    result = prompteol(command, sentences, "x" * 5000, "-m", base)

    assert result.exit_code == 0, result.output
    assert "sentences.txt' is embedded as a text; the file of that name is not read" in result.stderr
    assert len(result.stderr.splitlines()) == 1


# create


def test_a_created_model_is_loaded_by_stock_sentence_transformers(prompteol, base, tmp_path):
    out = tmp_path / "model"
    result = prompteol(
        "create", "-m", base, "-o", out, "--template", "pretended-cot", "--normalization", "plain",
        "--demonstration", "A jockey riding a horse.=>Equestrian", "--layer", "-2",
    )  # fmt: skip
    saved = PromptEOL(str(out), device="cpu")
    stock = SentenceTransformer(str(out), device="cpu").encode(TEXTS)

    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert str(saved.template).startswith('After thinking step by step , this sentence : "A jockey')
    assert (saved.template.normalization, saved.layer) == ("plain", -2)
    np.testing.assert_allclose(stock, saved.encode(TEXTS), atol=1e-5 * np.abs(stock).max())


def test_create_replaces_a_model_only_with_force_and_other_folders_never(prompteol, base, tmp_path):
    model, other = tmp_path / "model", tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    prompteol("create", "-m", base, "-o", model)

    refused = prompteol("create", "-m", base, "-o", model, "--template", "prompt")
    before = PromptEOL(str(model)).template.suffix
    replaced = prompteol("create", "-m", base, "-o", model, "--template", "prompt", "--force")
    spared = prompteol("create", "-m", base, "-o", other, "--force")

    assert (refused.exit_code, "--force" in refused.stderr, before) == (2, True, '" means in one word:"')
    assert replaced.exit_code == 0, replaced.output
    assert PromptEOL(str(model)).template.suffix == '" means'
    assert (spared.exit_code, "holds other files" in spared.stderr) == (2, True)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_a_replacement_that_fails_leaves_the_old_model(prompteol, base, tmp_path, monkeypatch):
    prompteol("create", "-m", base, "-o", tmp_path / "model")
    replace = os.replace

    def locked(source, target):
        if str(source).endswith(".partial") and str(target).endswith("model"):
            raise PermissionError(13, "a scanner holds it")
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)
    failed = prompteol("create", "-m", base, "-o", tmp_path / "model", "--template", "prompt", "--force")
    assert (failed.exit_code, "was not written: a scanner holds it" in failed.stderr) == (2, True)
    assert PromptEOL(str(tmp_path / "model")).template.suffix == '" means in one word:"'
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_create_that_fails_leaves_no_folder(prompteol, base, tmp_path):
    normalization = prompteol("create", "-m", base, "-o", tmp_path / "model", "--normalization", "fancy")
    layer = prompteol("create", "-m", base, "-o", tmp_path / "model", "--layer", "-99")
    share = prompteol("create", "-m", base, "-o", tmp_path / "model", "--layer", "1.5")
    parent = prompteol("create", "-m", base, "-o", tmp_path / "nowhere" / "model")

    assert [result.exit_code for result in (normalization, layer, share, parent)] == [2, 2, 2, 2]
    assert "or a fraction of depth above 0 and up to 1.0" in share.stderr
    assert "--normalization" in normalization.stderr
    assert list(tmp_path.iterdir()) == []


def test_create_with_another_normalization_of_the_default_template(prompteol, base, tmp_path):
    assert prompteol("create", "-m", base, "-o", tmp_path / "model", "--normalization", "plain").exit_code == 0
    saved = PromptEOL(str(tmp_path / "model")).template
    assert saved == PromptEOL(base, normalization="plain").template
    assert saved.normalization == "plain"


# the program itself


def test_the_version_is_that_of_the_package(prompteol):
    from importlib.metadata import version

    assert prompteol("--version").stdout.strip() == f"prompteol {version('prompteol')}"
