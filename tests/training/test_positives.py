"""Retrieval sets, a query with lists of positives and negatives, become a row for each positive."""

import json
import subprocess
import sys

import pytest

from prompteol.data import read_examples
from prompteol.errors import CorpusError, TrainingError
from prompteol.training import train

RECORDS = [
    {
        "query": "Who sings?",
        "pos": ["A man.", "A woman."],
        "neg": ["A stone.", "A tree.", "A car."],
        "pos_scores": [0.9, 0.8],
        "prompt": "Represent this.",
    },
    {"query": "Who runs?", "pos": ["A dog."], "neg": ["A chair."], "pos_scores": [0.7], "prompt": "Represent this."},
]


@pytest.fixture(params=["jsonl", "parquet", "hub"])
def source(request, tmp_path, monkeypatch):
    """The same records in each form that is read."""
    import datasets

    def written(records=RECORDS):
        table = datasets.Dataset.from_list(records)
        if request.param == "hub":
            monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
            monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: "/no/such/card")
            return "owner/mined"
        path = tmp_path / f"mined.{request.param}"
        if request.param == "parquet":
            table.to_parquet(path)
        else:
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return written


def test_a_row_a_positive_and_negatives_drawn(source):
    found = read_examples(source())
    assert found.columns["anchor"] == ["Who sings?", "Who sings?", "Who runs?"]
    assert found.columns["positive"] == ["A man.", "A woman.", "A dog."]
    drawn = found.columns["negative"]
    assert set(drawn[:2]) < set(RECORDS[0]["neg"])
    assert drawn[0] != drawn[1]
    assert drawn[2] == "A chair."
    assert read_examples(source()).columns == found.columns
    assert len({tuple(read_examples(source(), seed=seed).columns["negative"]) for seed in range(20)}) > 1


def test_all_negatives(source):
    found = read_examples(source(), negatives="all")
    rows = list(zip(*found.columns.values(), strict=True))
    assert rows == [
        *(("Who sings?", pos, neg) for pos in RECORDS[0]["pos"] for neg in RECORDS[0]["neg"]),
        ("Who runs?", "A dog.", "A chair."),
    ]


def test_named_columns_and_none_of_negatives(source):
    pairs = read_examples(source(), columns=["query", "pos"])
    assert dict(pairs.columns) == {
        "anchor": ["Who sings?"] * 2 + ["Who runs?"],
        "positive": ["A man.", "A woman.", "A dog."],
    }


def test_lists_with_faults_are_named(source):
    place = r"(line 2|row [12])"
    without = r"remove the row, or train without negatives \(--column query --column pos\)"
    for name, said in (("neg", without), ("pos", "remove the row")):
        with pytest.raises(CorpusError, match=rf"{place}: '{name}' is an empty list; {said}$"):
            read_examples(source([RECORDS[0], {**RECORDS[1], name: []}]))
    with pytest.raises(TrainingError, match=rf"{place}: the negative equals the positive"):
        read_examples(source([RECORDS[0], {**RECORDS[1], "neg": ["A dog."]}]))
    with pytest.raises(TrainingError, match=rf"{place}: positive is empty"):
        read_examples(source([RECORDS[0], {**RECORDS[1], "pos": [" "]}]))


def test_what_is_no_text_in_a_list_and_an_anchor_that_is_one(tmp_path):
    path = tmp_path / "mined.jsonl"
    path.write_text(json.dumps({**RECORDS[0], "neg": ["A stone.", 3]}) + "\n")
    with pytest.raises(CorpusError, match=r"line 1: 'neg' should be a string, not 3"):
        read_examples(path, negatives="all")
    path.write_text(json.dumps({**RECORDS[0], "query": ["Who?"]}) + "\n")
    with pytest.raises(CorpusError, match=r"line 1: 'query' is a list; expected one text"):
        read_examples(path)


def test_the_draw_is_the_same_in_another_process(tmp_path):
    path = tmp_path / "mined.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    code = f"from prompteol.training import read_examples; print(read_examples({str(path)!r}).digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == read_examples(path).digest


def test_training_on_them(tiny, tmp_path, quick):
    path = tmp_path / "mined.jsonl"
    path.write_text("".join(json.dumps({**RECORDS[0], "query": f"Who sings {n}?"}) + "\n" for n in range(16)))
    done = train(tiny("llama"), tmp_path / "out", path, quick, device="cpu")
    assert "`mined.jsonl`, 32 rows of anchor, positive, negative" in (done.out / "README.md").read_text()
