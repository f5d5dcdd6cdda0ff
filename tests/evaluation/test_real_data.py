"""On the real data: our STS equals a computation that shares no code with it; tf-idf lands where it is known to."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModel, AutoTokenizer

from prompteol import PromptEOL
from prompteol.evaluation import SentEvalFolder, evaluate, load_benchmark
from prompteol.evaluation.results import ModelDescription
from prompteol.evaluation.runner import evaluate_features, tfidf


def by_hand(folder, sentences):
    """The authors' procedure: whitespace joined, a period, quotes turned, left padding, the last state."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token_id = 0
    backbone = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors = {}
    unique = sorted(set(sentences), key=lambda sentence: len(sentence.split()))
    for start in range(0, len(unique), 64):
        prompts = []
        for sentence in unique[start : start + 64]:
            s = " ".join(sentence.split())
            s = (s if s[-1] in ".?\"'" else s + ".").replace('"', "'")
            s = s[:-1] + "." if s[-1] == "?" else s
            prompts.append('This sentence : "*" means in one word:"'.replace("*", s))
        batch = tokenizer(prompts, return_tensors="pt", padding=True)
        with torch.inference_mode():
            states = backbone(**batch).last_hidden_state[:, -1]
        vectors.update(zip(unique[start : start + 64], states.numpy().astype(np.float64), strict=True))
    return vectors


def correlation(rows, vectors):
    cosines = [
        np.dot(vectors[a], vectors[b]) / np.sqrt(np.dot(vectors[a], vectors[a]) * np.dot(vectors[b], vectors[b]))
        for a, b, _ in rows
    ]
    return 100 * spearmanr(cosines, [gold for *_, gold in rows]).statistic


@pytest.mark.parametrize(
    ("model", "text", "tasks", "known"),
    [("stories260K", "senteval", ["STS13", "STS-B-dev"], None), ("nano", "sts_raw", ["STS-B-dev"], 82.56)],
    ids=["stories260K", "nano"],
)
def test_sts_equals_an_independent_computation(data, model, text, tasks, known):
    root = data / text / "STS" if text == "senteval" else data / text
    dev = [line.split("\t") for line in (root / "STSBenchmark/sts-dev.csv").read_text().splitlines()]
    rows = {"STS-B-dev": [(cells[5], cells[6], float(cells[4])) for cells in dev], "STS13": []}
    for subset in ("FNWN", "headlines", "OnWN"):
        pairs = (root / f"STS13-en-test/STS.input.{subset}.txt").read_text().splitlines()
        gold = (root / f"STS13-en-test/STS.gs.{subset}.txt").read_text().splitlines()
        rows["STS13"] += [(*pair.split("\t"), float(score)) for pair, score in zip(pairs, gold, strict=True)]
    rows = {task: rows[task] for task in tasks}
    folder = str(data / "models" / model)
    vectors = by_hand(folder, [sentence for found in rows.values() for row in found for sentence in row[:2]])

    benchmark = load_benchmark(SentEvalFolder(data / text), list(rows))
    scores = evaluate(PromptEOL(folder, device="cpu"), benchmark, name=model, batch_size=64).scores
    for task, found in rows.items():
        assert scores[task].score == pytest.approx(correlation(found, vectors), abs=0.01)
    if known:
        assert scores["STS-B-dev"].score == pytest.approx(known, abs=0.01)


def test_what_the_folder_holds_and_what_it_lacks(data):
    benchmark = load_benchmark(SentEvalFolder(data / "senteval"), ["all", "dev"])
    assert set(benchmark.missing) == {"STS15", "STS16", "SICK-R", "CR", "MPQA", "SST2"}
    counts = {name: len(benchmark.tasks[name].sentences()) for name in benchmark.tasks}
    assert counts == {
        "STS12": 2 * 3108,
        "STS13": 2 * 1500,
        "STS14": 2 * 3750,
        "STS-B": 2 * 1379,
        "STS-B-dev": 2 * 1500,
        "SICK-R-dev": 2 * 500,
        "MR": 10662,
        "SUBJ": 10000,
        "TREC": 5452 + 500,
        "MRPC": 2 * (4076 + 1725),
    }


@pytest.mark.parametrize(("task", "accuracy"), [("MR", 77.3), ("SUBJ", 91.2), ("TREC", 87.6)])
def test_tfidf_lands_where_scikit_learn_alone_does(data, task, accuracy):
    benchmark = load_benchmark(SentEvalFolder(data / "senteval"), [task])
    evaluation = evaluate_features(tfidf, benchmark, description=ModelDescription("tf-idf"))
    assert evaluation.scores[task].score == pytest.approx(accuracy, abs=0.6)
