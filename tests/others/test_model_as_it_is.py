"""Tools that take a ``SentenceTransformer`` object use ours, and not quietly another."""

from __future__ import annotations

import numpy as np
import pytest

from prompteol import PromptEOL
from prompteol.embedder import TextEmbedder
from retrieval_data import load_small
from small_models import base_model_folder

TEXTS = ["a guitar on the stage", "two dogs in the snow", "the horse runs", "a cat on the mat", "a band plays"] * 2


@pytest.fixture(scope="module")
def model() -> PromptEOL:
    return PromptEOL(base_model_folder(), template="promptreps", device="cpu")


def test_keybert_ranks_by_our_vectors(model):
    keybert = pytest.importorskip("keybert")
    words = ["guitar", "snow", "president", "mat"]
    found = keybert.KeyBERT(model=model).extract_keywords(TEXTS[0], candidates=words, top_n=4)
    vectors = model.encode([TEXTS[0], "guitar"], normalize_embeddings=True)
    assert dict(found) == {"guitar": pytest.approx(float(vectors[0] @ vectors[1]), abs=2e-4)}


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
@pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers.models':DeprecationWarning")
def test_bertopic_clusters_our_vectors(model):
    bertopic = pytest.importorskip("bertopic")
    cluster = pytest.importorskip("sklearn.cluster")
    decomposition = pytest.importorskip("sklearn.decomposition")
    topics = bertopic.BERTopic(
        embedding_model=model,
        umap_model=decomposition.PCA(n_components=2),
        hdbscan_model=cluster.KMeans(2, random_state=0),
    )
    found, _ = topics.fit_transform(TEXTS)
    assert len(set(found)) == 2
    np.testing.assert_allclose(topics.embedding_model.embed(TEXTS), model.encode(TEXTS), atol=1e-5)


@pytest.mark.filterwarnings("ignore:The fill_missing parameter:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning")
def test_mteb_scores_our_query_and_document_templates(model):
    mteb = pytest.importorskip("mteb")
    retrieval = pytest.importorskip("mteb.abstasks.retrieval")
    task_metadata = pytest.importorskip("mteb.abstasks.task_metadata")
    data = load_small()

    class Small(retrieval.AbsTaskRetrieval):
        metadata = task_metadata.TaskMetadata(
            name="Small",
            description="The small corpus of these tests.",
            dataset={"path": "prompteol/small", "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, **kwargs):
            self.corpus = {"test": {name: {"text": text} for name, text in data.documents.items()}}
            self.queries = {"test": dict(data.queries)}
            self.relevant_docs = {"test": {query: dict.fromkeys(ids, 1) for query, ids in data.judgements.items()}}
            self.convert_v1_dataset_format_to_v2(num_proc=None)
            self.data_loaded = True

    score = mteb.evaluate(model, [Small()], cache=None).task_results[0].get_score()
    embedder = TextEmbedder(model)
    queries = np.asarray(embedder.embed(list(data.queries.values()), "query"))
    ours = data.ndcg(queries @ np.asarray(embedder.embed(list(data.documents.values()), "document")).T)
    assert score == pytest.approx(ours, abs=1e-4)
    plain = model.encode([*data.queries.values(), *data.documents.values()], normalize_embeddings=True)
    without_tasks = data.ndcg(plain[: len(queries)] @ plain[len(queries) :].T)
    assert abs(score - without_tasks) > 1e-3
