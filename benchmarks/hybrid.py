"""Measure hybrid retrieval on SciFact: dense, sparse and both together, beside BM25.

    python benchmarks/hybrid.py MODEL --template promptreps --documents 1000 --max-tokens 512

The data is BEIR's SciFact, looked for in ``$PROMPTEOL_DATA``; with ``--documents`` all that answer a query, and others
up to that number. Every figure is nDCG@10 on the same documents.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer

from prompteol import PromptEOL, hybrid_scores

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from retrieval_data import load_scifact


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


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--template", default="promptreps")
    parser.add_argument("--layer", type=int, default=-1)
    parser.add_argument("--documents", type=int, default=10**9)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--device")
    arguments = parser.parse_args()
    data = load_scifact()
    if data is None:
        raise SystemExit("SciFact was not found: set PROMPTEOL_DATA to the folder that holds retrieval/scifact")
    data = data.part(arguments.documents)
    queries, documents = list(data.queries.values()), list(data.documents.values())
    model = PromptEOL(arguments.model, template=arguments.template, layer=arguments.layer, device=arguments.device)
    model.max_seq_length = arguments.max_tokens
    start = time.perf_counter()
    asked = model.encode_hybrid(queries, task="query")
    found = model.encode_hybrid(documents, task="document")
    seconds = time.perf_counter() - start
    print(f"{len(documents)} documents, {len(queries)} queries, template {arguments.template}, {seconds:.0f} s\n")
    print("| scores | nDCG@10 |\n|---|---|")
    print(f"| dense | {data.ndcg(hybrid_scores(asked, found, sparse_weight=0)):.4f} |")
    print(f"| sparse | {data.ndcg(hybrid_scores(asked, found, sparse_weight=1)):.4f} |")
    for weight in (0.25, 0.5, 0.75, 0.9):
        score = data.ndcg(hybrid_scores(asked, found, sparse_weight=weight))
        print(f"| hybrid, sparse_weight={weight} | {score:.4f} |")
    print(f"| BM25 | {data.ndcg(bm25(queries, documents)):.4f} |", flush=True)


if __name__ == "__main__":
    main()
