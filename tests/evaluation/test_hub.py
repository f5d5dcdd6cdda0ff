"""The same data from the Hub gives the same numbers; what cannot be fetched is missing."""

import json

import pytest

from prompteol.errors import EvaluationError, MissingExtraError
from prompteol.evaluation import TASKS, HubDatasets, SentEvalFolder, evaluate, load_benchmark

datasets = pytest.importorskip("datasets")

STS = {
    "mteb/sts12-sts": "STS12",
    "mteb/sts13-sts": "STS13",
    "mteb/sts14-sts": "STS14",
    "mteb/sts15-sts": "STS15",
    "mteb/sts16-sts": "STS16",
}


@pytest.fixture(autouse=True)
def _few_folds(monkeypatch):
    monkeypatch.setattr("prompteol.evaluation.scoring._FOLDS", 3)


@pytest.fixture
def hub(whole_senteval, tmp_path, monkeypatch):
    """Serve the folder's tasks under the names of the Hub's data sets, as JSON lines on disk."""
    tasks = load_benchmark(SentEvalFolder(whole_senteval), ["all", "dev"]).tasks
    real = datasets.load_dataset
    asked = []

    def pairs(task):
        return [
            {"sentence1": a, "sentence2": b, "score": gold}
            for subset in tasks[task].subsets
            for a, b, gold in zip(subset.first, subset.second, subset.gold, strict=True)
        ]

    def labeled(task, split, names):
        examples = tasks[task].splits[split]
        return [
            dict(zip(names, (*columns, label), strict=True))
            for *columns, label in zip(*examples.columns, examples.labels, strict=True)
        ]

    def rows(name, split):
        if name in STS:
            return pairs(STS[name])
        if name == "mteb/stsbenchmark-sts":
            return pairs({"test": "STS-B", "validation": "STS-B-dev"}[split])
        cut = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, None)}
        whole = {"cornell-movie-review-data/rotten_tomatoes": "MR"}
        halves = {"SetFit/CR": "CR", "SetFit/subj": "SUBJ", "jxm/mpqa": "MPQA"}
        if name in whole:
            return labeled("MR", "all", ("text", "label"))[cut[split]]
        if name in halves:
            half = {"train": slice(0, 8), "test": slice(8, None)}[split]
            return labeled(halves[name], "all", ("sentence" if name == "jxm/mpqa" else "text", "label"))[half]
        if name == "stanfordnlp/sst2":
            return labeled("SST2", {"validation": "dev"}.get(split, split), ("sentence", "label"))
        if name == "SetFit/sst2":
            return labeled("SST2", "test", ("text", "label"))
        if name == "SetFit/TREC-QC":
            return labeled("TREC", split, ("text", "label_coarse"))
        assert name == "nyu-mll/glue"
        found = labeled("MRPC", {"validation": "train"}.get(split, split), ("sentence1", "sentence2", "label"))
        return found[:40] if split == "train" else found[40:] if split == "validation" else found

    def load_dataset(name, config=None, *, split, revision=None):
        asked.append((name, config, split, revision))
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows(name, split)))
        return real("json", data_files=str(file), split="train", cache_dir=str(tmp_path / str(len(asked))))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_the_same_numbers_as_from_the_folder(hub, whole_senteval, encoder):
    tasks = [name for name in TASKS if not name.startswith("SICK-R")]
    folder = evaluate(encoder, load_benchmark(SentEvalFolder(whole_senteval), tasks), name="bag")
    from_hub = evaluate(encoder, load_benchmark(HubDatasets(), tasks), name="bag")
    assert {name: score.score for name, score in from_hub.scores.items()} == {
        name: pytest.approx(score.score, abs=1e-9) for name, score in folder.scores.items()
    }
    assert ("nyu-mll/glue", "mrpc", "validation", None) in hub
    part = "mteb/sts12-sts@a0d554a64d88156834ff5ae9920b964011b16384 [test]"
    assert len(from_hub.scores["STS12"].data[part]) == 64


@pytest.mark.parametrize("error", [ConnectionError, datasets.exceptions.DatasetGenerationError])
def test_what_cannot_be_fetched_is_missing(hub, monkeypatch, error):
    serve = datasets.load_dataset

    def offline(name, *args, **options):
        if name == "mteb/sts13-sts":
            raise error("Couldn't reach 'mteb/sts13-sts' on the Hub\nmany more lines")
        return serve(name, *args, **options)

    monkeypatch.setattr(datasets, "load_dataset", offline)
    benchmark = load_benchmark(HubDatasets(), ["sts12", "sts13"])
    assert list(benchmark.tasks) == ["STS12"]
    assert benchmark.missing["STS13"].endswith("Couldn't reach 'mteb/sts13-sts' on the Hub")


def test_sick_is_not_the_hubs_which_mixes_train_and_test(hub):
    benchmark = load_benchmark(HubDatasets(), ["sts-b", "sick-r", "sick-r-dev"])
    assert list(benchmark.tasks) == ["STS-B"]
    assert all("give a SentEval folder" in benchmark.missing[task] for task in ("SICK-R", "SICK-R-dev"))
    assert not any("sick" in name for name, *_ in hub)


def test_other_columns_are_an_error(monkeypatch):
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [1]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    with pytest.raises(EvaluationError, match=r"mteb/sts12-sts \[test\] has no column 'sentence1'.*'text', 'label'"):
        load_benchmark(HubDatasets(), ["sts12"])


def test_without_datasets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"prompteol\[evaluation\]"):
        load_benchmark(HubDatasets(), ["sts12"])
