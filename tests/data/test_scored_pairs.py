"""Files of pairs: the benchmark as it is distributed, a user's own tables, and what is wrong with them."""

import json

import pytest

from prompteol.data import ScoredPairs, read_pairs
from prompteol.errors import CorpusError, InputError, TuningError

ROWS = [(f"A man {number}.", f'A "dog" {number}.', str(number / 2)) for number in range(10)]


def table(header, rows):
    return "".join("\t".join(row) + "\n" for row in [header, *rows]).replace('A "dog"', "A dog")


@pytest.mark.parametrize("header", [("sentence1", "sentence2", "score"), ("text1", "text2", "label")])
def test_a_table_with_scores(tmp_path, header):
    (tmp_path / "dev.tsv").write_text(table(header, ROWS))
    found = read_pairs(tmp_path / "dev.tsv")
    assert (found.first[3], found.second[3], found.scores[3], found.name) == ("A man 3.", "A dog 3.", 1.5, "dev.tsv")
    assert len(found) == 10


def test_anchors_and_positives(tmp_path):
    (tmp_path / "a.tsv").write_text(table(("positive", "anchor", "negative"), ROWS))
    found = read_pairs(tmp_path / "a.tsv")
    assert (found.first[0], found.second[0], found.scores) == ("A dog 0.", "A man 0.", None)


def test_scores_of_an_unusual_name_are_not_passed_over(tmp_path):
    (tmp_path / "a.tsv").write_text(table(("sentence1", "sentence2", "Mean rating"), ROWS))
    with pytest.raises(CorpusError, match="does 'Mean rating' say how similar"):
        read_pairs(tmp_path / "a.tsv")
    assert read_pairs(tmp_path / "a.tsv", ["sentence1", "sentence2", "Mean rating"]).scores[1] == 0.5
    assert read_pairs(tmp_path / "a.tsv", ["sentence1", "sentence2"]).scores is None
    for name in ("generating_model", "unrelated", "id"):
        (tmp_path / "c.tsv").write_text(table(("anchor", "positive", name), ROWS))
        assert read_pairs(tmp_path / "c.tsv").scores is None
    (tmp_path / "b.tsv").write_text(table((" Sentence1", "SENTENCE2", "Relatedness_Score"), ROWS))
    assert read_pairs(tmp_path / "b.tsv").scores[1] == 0.5


def test_named_columns(tmp_path):
    lines = [f'{{"left one": "{a}", "x": "{a}!", "y": "{c}", "z": ""}}\n' for a, _, c in ROWS]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    found = read_pairs(tmp_path / "a.jsonl", ["x", "left one", "y"])
    assert (found.first[1], found.second[1], found.scores[1]) == ("A man 1.!", "A man 1.", 0.5)
    with pytest.raises(CorpusError, match="Name them with --column"):
        read_pairs(tmp_path / "a.jsonl")
    with pytest.raises(CorpusError, match="4 columns named"):
        read_pairs(tmp_path / "a.jsonl", ["x", "y", "z", "x"])


@pytest.mark.parametrize(("suffix", "unit"), [("jsonl", "line"), ("parquet", "row")])
def test_scores_that_are_numbers(tmp_path, suffix, unit):
    path = tmp_path / f"dev.{suffix}"

    def write(*last):
        rows = [{"sentence1": a, "sentence2": f"{a}!", "score": float(c), "blank": " "} for a, _, c in ROWS]
        rows += [{"sentence1": "A", "sentence2": "B", "score": score, "blank": ""} for score in last]
        if suffix == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            parquet = pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(rows), path)
        return path

    assert read_pairs(write(3.2, 1)).scores == [float(c) for *_, c in ROWS] + [3.2, 1.0]
    with pytest.raises(CorpusError, match=rf"{unit} 11: the score 'nan' is no finite number"):
        read_pairs(write(float("nan")))
    with pytest.raises(CorpusError, match=rf"{unit} 11: 'score' should be a number, not None"):
        read_pairs(write(None))
    with pytest.raises(CorpusError, match=f"{unit} 1: a sentence is empty"):
        read_pairs(write(), ["blank", "sentence2"])
    with pytest.raises(CorpusError, match=r"1: 'score' should be a string, not 0\.0"):
        read_pairs(path, ["score", "sentence2"])


def test_a_truth_value_is_no_score(tmp_path):
    (tmp_path / "dev.jsonl").write_text('{"sentence1": "A", "sentence2": "B", "score": true}\n' * 9)
    with pytest.raises(CorpusError, match="line 1: 'score' should be a number, not True"):
        read_pairs(tmp_path / "dev.jsonl")


@pytest.mark.parametrize("name", ["sts-dev.csv", "dev.tsv", "dev.txt"])
def test_the_benchmark_as_it_is_distributed(tmp_path, name):
    lines = [f"main\tfile\t2012\t{n}\t{score}\t{a}\t{b}\tsource\n" for n, (a, b, score) in enumerate(ROWS)]
    (tmp_path / name).write_text("".join(lines))
    found = read_pairs(tmp_path / name)
    assert (found.first[2], found.second[2], found.scores[2]) == ("A man 2.", 'A "dog" 2.', 1.0)
    (tmp_path / name).write_text("".join([*lines, "main\tfile\n"]))
    with pytest.raises(CorpusError, match="line 11: 2 fields"):
        read_pairs(tmp_path / name)


def test_the_real_benchmark(data):
    for folder in ("sts_raw", "senteval/STS"):
        found = read_pairs(data / folder / "STSBenchmark" / "sts-dev.csv")
        assert len(found) == 1500
        assert max(found.scores) == 5


def test_faults(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(table(("left", "right", "score"), [*ROWS, ("A", "B", "high")]))
    with pytest.raises(CorpusError, match="line 12: the score 'high'"):
        read_pairs(path)
    path.write_text(table(("left", "right"), [row[:2] for row in ROWS[:3]]))
    with pytest.raises(TuningError, match="3 pairs are too few"):
        read_pairs(path)
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    with pytest.raises(CorpusError, match="plain text"):
        read_pairs(tmp_path / "a.txt")
    texts = ["a"] * 9
    with pytest.raises(TuningError, match="all the same"):
        ScoredPairs(texts, texts, [1.0] * 9)
    with pytest.raises(TuningError, match="9 first and 8 second"):
        ScoredPairs(texts, texts[:8])
    with pytest.raises(InputError):
        ScoredPairs([*texts[:8], "\ud800"], texts)


def test_quotation_marks_that_are_letters(tmp_path):
    """As in GLUE's tables, in which a sentence may begin with one that nothing closes."""
    rows = [(f'"Well" {number}, he message', f'"She {number}', str(number / 2)) for number in range(10)]
    lines = ["\t".join(row) for row in [("sentence1", "sentence2", "score"), *rows]]
    (tmp_path / "dev.tsv").write_text("\n".join(lines) + "\n")
    found = read_pairs(tmp_path / "dev.tsv")
    assert (found.first[3], found.second[3], found.scores[3]) == ('"Well" 3, he message', '"She 3', 1.5)
    quoted = "\n".join(["sentence1\tsentence2\tscore", *('"He message ""hi"""\tb\t1' for _ in range(9)), '"a" b\tc\t2'])
    (tmp_path / "quoted.tsv").write_text(quoted + "\n")
    with pytest.raises(CorpusError, match=r"quoted\.tsv', line 11: damaged table"):
        read_pairs(tmp_path / "quoted.tsv")
    (tmp_path / "short.tsv").write_text("\n".join([*lines, '"a\tb']) + "\n")
    with pytest.raises(CorpusError, match=r"short\.tsv', line"):
        read_pairs(tmp_path / "short.tsv")


@pytest.mark.parametrize("name", ["sim", "gs", "human", "mean", "target"])
def test_short_names_of_scores_are_not_passed_over(tmp_path, name):
    (tmp_path / "a.tsv").write_text(table(("sentence1", "sentence2", name), ROWS))
    with pytest.raises(CorpusError, match=f"does '{name}' say how similar"):
        read_pairs(tmp_path / "a.tsv")


def test_a_table_without_a_header_loses_no_pair(tmp_path):
    (tmp_path / "a.csv").write_text("".join(f"A man {number},A dog {number},{number}.5\n" for number in range(10)))
    with pytest.raises(CorpusError, match=r"the first line holds the names of the columns; found \['A man 0'"):
        read_pairs(tmp_path / "a.csv")
