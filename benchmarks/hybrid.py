"""Measure hybrid retrieval on SciFact: dense, sparse and both together, beside BM25.

    python benchmarks/hybrid.py MODEL --documents 400 --windows 3 --cache folder/

The data is BEIR's SciFact, looked for in ``$PROMPTEOL_DATA``; with ``--documents`` all that answer a query, and others
up to that number, and with ``--queries`` the first so many queries. Every figure is nDCG@10 on the same documents.
Vectors are kept in ``--cache`` by model and text: a run that was stopped goes on, and a larger one takes over what a
smaller one computed. ``--windows 3`` scores documents by windows of three sentences, too.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, vstack
from sklearn.feature_extraction.text import CountVectorizer

from prompteol import HybridVectors, PromptEOL, hybrid_scores, split_windows
from prompteol.files.atomic import atomic_write
from prompteol.prompts import PromptTask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from retrieval_data import Retrieval, load_scifact

WEIGHTS = (0.0, 1.0, 0.25, 0.5, 0.75, 0.9)
# Texts that are embedded, and kept, at once.
_PART = 16


class VectorCache:
    """Keep hybrid vectors in a folder, by model, task and text; each part is whole or not there."""

    def __init__(self, model: PromptEOL, folder: Path) -> None:
        self._model = model
        self._folder = folder / f"{model.fingerprint()[:16]}-{model.max_seq_length}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, tuple[np.ndarray, csr_array]] = {}
        for file in sorted(self._folder.glob("*.npz")):
            self._add(file)

    def encode(self, texts: Sequence[str], task: PromptTask) -> HybridVectors:
        """Return the vectors of texts, computing those that are not there yet, the shortest first."""
        keys = [hashlib.sha256(f"{task} {text}".encode()).hexdigest()[:32] for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        todo = sorted(missing, key=lambda key: len(missing[key]))
        begun = time.perf_counter()
        for start in range(0, len(todo), _PART):
            part = todo[start : start + _PART]
            found = self._model.encode_hybrid([missing[key] for key in part], task=task)
            self._write(part, found)
            seconds = time.perf_counter() - begun
            print(f"{task}: {start + len(part)} of {len(todo)}, {seconds:.0f} s", file=sys.stderr, flush=True)
        rows = [self._rows[key] for key in keys]
        sparse = csr_array(vstack([row for _, row in rows], format="csr"))
        return HybridVectors(np.stack([dense for dense, _ in rows]), sparse)

    def _write(self, keys: list[str], found: HybridVectors) -> None:
        file = self._folder / f"{hashlib.sha256(''.join(keys).encode()).hexdigest()[:16]}.npz"
        sparse = found.sparse
        parts = {"indptr": sparse.indptr, "indices": sparse.indices, "data": sparse.data, "shape": sparse.shape}
        with atomic_write(file) as partial, partial.open("wb") as opened:
            np.savez(opened, keys=np.array(keys), dense=found.dense, **{k: np.asarray(v) for k, v in parts.items()})
        self._add(file)

    def _add(self, file: Path) -> None:
        with np.load(file, allow_pickle=False) as held:
            parts = (held["data"], held["indices"], held["indptr"])
            sparse, dense = csr_array(parts, shape=tuple(held["shape"])), held["dense"]
            for row, key in enumerate(held["keys"].tolist()):
                self._rows[key] = dense[row], sparse[[row]]


def bm25(queries: list[str], documents: list[str], k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    """Return BM25 scores, (queries, documents), of words in lower case without English stop words."""
    counter = CountVectorizer(stop_words="english")
    counts = csr_array(counter.fit_transform(documents), dtype=np.float64)
    length, found = counts.sum(axis=1), (counts > 0).sum(axis=0)
    idf = np.log(1 + (len(documents) - found + 0.5) / (found + 0.5))
    weight = counts.tocoo()
    norm = k1 * (1 - b + b * length / length.mean())
    weight.data = weight.data * (k1 + 1) / (weight.data + norm[weight.coords[0]]) * idf[weight.coords[1]]
    return (csr_array(counter.transform(queries)) @ weight.tocsr().T).toarray()


def rows(data: Retrieval, cache: VectorCache, sentences: int | None) -> dict[str, list[float]]:
    """Return nDCG@10 with each of :data:`WEIGHTS`, by what a document is scored by."""
    queries, documents = list(data.queries.values()), list(data.documents.values())
    asked = cache.encode(queries, "query")

    def scores(found: HybridVectors, **windows: object) -> list[float]:
        return [data.ndcg(hybrid_scores(asked, found, sparse_weight=weight, **windows)) for weight in WEIGHTS]

    table = {"whole": scores(cache.encode(documents, "document"))}
    if sentences:
        windows, starts = split_windows(documents, sentences)
        found = cache.encode(windows, "document")
        for pooling in ("max", "mean"):
            table[f"windows of {sentences}, {pooling}"] = scores(found, windows=starts, pooling=pooling)
    return table


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--template", default="promptreps")
    parser.add_argument("--layer", type=int, default=-1)
    parser.add_argument("--documents", type=int, default=10**9)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--windows", type=int, help="sentences in a window")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--cache", type=Path, default=Path("hybrid.cache"), help="folder")
    parser.add_argument("--device")
    arguments = parser.parse_args()
    data = load_scifact()
    if data is None:
        raise SystemExit("SciFact was not found: set PROMPTEOL_DATA to the folder that holds retrieval/scifact")
    data = data.part(arguments.documents, arguments.queries)
    model = PromptEOL(arguments.model, template=arguments.template, layer=arguments.layer, device=arguments.device)
    model.max_seq_length = arguments.max_tokens
    start = time.process_time()
    table = rows(data, VectorCache(model, arguments.cache), arguments.windows)
    seconds = time.process_time() - start
    print(f"{len(data.documents)} documents, {len(data.queries)} queries, {arguments.template}, {seconds:.0f} CPU s\n")
    print("| document | " + " | ".join({0.0: "dense", 1.0: "sparse"}.get(w, f"hybrid {w}") for w in WEIGHTS) + " |")
    print("|---" * (1 + len(WEIGHTS)) + "|")
    for name, found in table.items():
        print(f"| {name} | " + " | ".join(f"{score:.4f}" for score in found) + " |")
    print(f"\nBM25: {data.ndcg(bm25(list(data.queries.values()), list(data.documents.values()))):.4f}", flush=True)


if __name__ == "__main__":
    main()
