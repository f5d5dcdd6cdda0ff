"""Measure retrieval on SciFact: one template for both roles against a template for each, whole documents and windows.

    python benchmarks/scifact.py                        # the embedded default model
    python benchmarks/scifact.py --model facebook/opt-1.3b --device cuda

The data is BEIR's SciFact (5183 titles with abstracts, 300 queries), looked for in ``$PROMPTEOL_DATA``. Each document
is embedded whole, and as windows of three sentences, laid end to end, of which the best counts.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from prompteol import PromptEOL, TextEmbedder
from prompteol.embedder.long_texts import LongTextWarning

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from retrieval_data import Retrieval, load_scifact, load_small

SENTENCES = 3


def windows(text: str) -> list[str]:
    """Cut a text into runs of three sentences."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    return [" ".join(sentences[start : start + SENTENCES]) for start in range(0, len(sentences), SENTENCES)]


def whole_scores(data: Retrieval, embedder: TextEmbedder) -> np.ndarray:
    """Return the cosine of each query (row) with each document (column)."""
    queries = np.asarray(embedder.embed(list(data.queries.values()), "query"), dtype=np.float32)
    return queries @ np.asarray(embedder.embed(list(data.documents.values()), "document"), dtype=np.float32).T


def window_scores(data: Retrieval, embedder: TextEmbedder) -> np.ndarray:
    """Return for each query and document the cosine of the document's best window."""
    parts = [windows(text) for text in data.documents.values()]
    queries = np.asarray(embedder.embed(list(data.queries.values()), "query"), dtype=np.float32)
    vectors = embedder.embed([window for windows in parts for window in windows], "document")
    starts = np.cumsum([0, *map(len, parts[:-1])])
    return np.maximum.reduceat(queries @ np.asarray(vectors, dtype=np.float32).T, starts, axis=1)


def main() -> None:
    """Print a Markdown table of nDCG@10."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or Hub name; default: the embedded model")
    parser.add_argument("--device")
    parser.add_argument("--engine", default="auto", choices=["auto", "stock"])
    parser.add_argument("--templates", nargs="+", default=["prompteol", "promptreps"])
    parser.add_argument("--small", action="store_true", help="the small corpus of the tests in place of SciFact")
    arguments = parser.parse_args()
    data = load_small() if arguments.small else load_scifact()
    if data is None:
        raise SystemExit("SciFact was not found: set PROMPTEOL_DATA to the folder that holds retrieval/scifact")
    warnings.simplefilter("ignore", LongTextWarning)
    print(f"{len(data.documents)} documents, {len(data.queries)} queries\n")
    print("| template | whole documents | best window of 3 sentences | seconds |")
    print("|---|---|---|---|")
    for template in arguments.templates:
        embedder = TextEmbedder(
            PromptEOL(arguments.model, template=template, device=arguments.device, engine=arguments.engine)
        )
        start = time.perf_counter()
        print(f"| {template} | {data.ndcg(whole_scores(data, embedder)):.4f} ", end="", flush=True)
        print(f"| {data.ndcg(window_scores(data, embedder)):.4f} ", end="", flush=True)
        print(f"| {time.perf_counter() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
