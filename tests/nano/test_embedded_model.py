"""The model that ships with the package: small, whole, loaded by anybody, and as good as its card says."""

import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL

NANO = files("prompteol") / "nano"
TEXTS = ["A man is playing a guitar.", "Someone makes music.", 'Is it "new"?', "", "The stock market fell. " * 200]


@pytest.fixture(scope="module")
def model():
    return PromptEOL(device="cpu")


def test_it_weighs_at_most_16_megabytes():
    assert sum(path.stat().st_size for path in NANO.rglob("*") if path.is_file()) <= 16_000_000


def test_it_computes_in_fp32_though_it_is_stored_in_fp16(model):
    assert model.dtype == torch.float32


def test_stock_sentence_transformers_gives_the_same_vectors(model):
    vectors = model.encode(TEXTS)
    stock = SentenceTransformer(str(NANO), device="cpu").encode(TEXTS)

    np.testing.assert_allclose(vectors, stock, atol=1e-5 * np.abs(stock).max(), rtol=0)


def test_its_fingerprint_is_the_one_written_down(model):
    assert f'"fingerprint": "{model.fingerprint()}"' in (NANO / "prompteol.json").read_text()


def test_it_is_as_good_on_sts_b_dev_as_its_card_says(model, data):
    rows = (data / "sts_raw" / "STSBenchmark" / "sts-dev.csv").read_text(encoding="utf-8").splitlines()
    _, _, _, _, gold, left, right, *_ = zip(*(row.split("\t")[:7] for row in rows), strict=True)
    scores = model.similarity_pairwise(model.encode(left), model.encode(right))
    said = re.search(r"\| the model as it ships .* (\S+) \|\n", (NANO / "README.md").read_text())

    assert len(rows) == 1500
    assert round(100 * spearmanr(scores, np.array(gold, float)).statistic, 2) == float(said[1])


def test_a_model_with_another_prompt_keeps_training_and_licenses_in_its_card(tmp_path):
    PromptEOL(demonstrations="opt-2.7b", device="cpu").save_pretrained(tmp_path / "shown")
    card = (tmp_path / "shown" / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "| WordNet 3 | WordNet 3.0 license |" in card
    assert "A jockey riding a horse." in card
