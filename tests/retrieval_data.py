"""Documents, queries and judgements to retrieve with: SciFact where it lies, else the small corpus kept here."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import ndcg_score

__all__ = ["TOP", "Retrieval", "data_folder", "load_scifact", "load_small"]

TOP = 10
"""How many documents a search returns, and the cut of nDCG."""

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Retrieval:
    """A corpus with queries, and for each query the documents that answer it."""

    documents: dict[str, str]
    queries: dict[str, str]
    judgements: dict[str, frozenset[str]]

    def part(self, documents: int, queries: int | None = None) -> Retrieval:
        """Keep the first queries, or all, the documents that answer one, and others up to a number of documents."""
        asked = dict(list(self.queries.items())[:queries])
        judgements = {name: self.judgements[name] for name in asked}
        judged = frozenset().union(*judgements.values())
        ids = sorted(self.documents, key=lambda name: name not in judged)[:documents]
        return Retrieval({name: self.documents[name] for name in ids}, asked, judgements)

    def ndcg(self, scores: np.ndarray) -> float:
        """Return nDCG@10 of scores, one row a query and one column a document."""
        relevant = [[name in self.judgements[query] for name in self.documents] for query in self.queries]
        return float(ndcg_score(np.asarray(relevant, dtype=float), scores, k=TOP))

    def ndcg_of_rankings(self, rankings: Sequence[Sequence[str]]) -> float:
        """Return nDCG@10 of the ten best documents' ids for each query."""
        column = {name: index for index, name in enumerate(self.documents)}
        scores = np.zeros((len(self.queries), len(self.documents)))
        for row, ranking in enumerate(rankings):
            scores[row, [column[name] for name in ranking]] = np.arange(len(ranking), 0, -1)
        return self.ndcg(scores)


def data_folder() -> Path:
    """Return where the optional data lies: ``PROMPTEOL_DATA``, or ``shared/data`` beside the repository."""
    return Path(os.environ.get("PROMPTEOL_DATA", _ROOT.parent / "shared" / "data"))


def load_scifact() -> Retrieval | None:
    """Read SciFact in BEIR's form, a document being its title and abstract; ``None`` where it does not lie."""
    folder = data_folder() / "retrieval" / "scifact"
    if not folder.is_dir():
        return None
    documents = {row["_id"]: f"{row['title']} {row['text']}" for row in _rows(folder / "corpus.jsonl")}
    texts = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    judgements: dict[str, set[str]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                judgements.setdefault(row["query-id"], set()).add(row["corpus-id"])
    queries = {name: texts[name] for name in judgements}
    return Retrieval(documents, queries, {name: frozenset(ids) for name, ids in judgements.items()})


def load_small() -> Retrieval:
    """Read the corpus of 24 short documents that was written for these tests."""
    data = json.loads((_ROOT / "tests" / "rag" / "corpus.json").read_text(encoding="utf-8"))
    judgements = {name: frozenset(ids) for name, ids in data["judgements"].items()}
    return Retrieval(data["documents"], data["queries"], judgements)


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
