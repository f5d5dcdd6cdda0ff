"""Our vectors are those of the authors' evaluation: normalize, fill, pad on the left, last layer, last position."""

import csv

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL

TEMPLATE = 'This_sentence_:_"*sent_0*"_means_in_one_word:"'

OWN_PAIRS = [
    ("A man is playing a guitar.", "Someone makes music", 3.9),
    ("Who let the dogs out?", "Dogs are running outside!", 2.0),
    ('He said "never again"', "She said: always", 1.2),
    ("Rain (heavy)", "It rains  a lot\t today", 4.4),
    ("the stock market fell by 3%", "shares dropped", 4.6),
    ("", "Nothing.", 0.1),
]


def authors_prompt(text):
    words = " ".join(text.split())
    if len(words) > 0 and words[-1] not in ".?\"'":
        words += "."
    words = words.replace('"', "'")
    if len(words) > 0 and words[-1] == "?":
        words = words[:-1] + "."
    return TEMPLATE.replace("_", " ").replace("*sent 0*", words).strip()


@torch.inference_mode()
def authors_vectors(folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token_id = 0
    tokenizer.padding_side = "left"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = [None] * len(texts)
    for start in range(0, len(texts), 128):
        rows = order[start : start + 128]
        batch = tokenizer([authors_prompt(texts[i]) for i in rows], return_tensors="pt", padding=True)
        batch.pop("token_type_ids", None)
        if model.config.model_type == "gpt2":
            batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        states = model(**batch, output_hidden_states=True, return_dict=True).hidden_states[-1][:, -1, :]
        for row, state in zip(rows, states, strict=True):
            vectors[row] = state.numpy()
    return np.stack(vectors)


def stsb_test(data):
    with open(data / "sts_raw/STSBenchmark/sts-test.csv", encoding="utf-8") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(row[5], row[6], float(row[4])) for row in rows]


def spearman(vectors, scores):
    left, right = vectors[0::2], vectors[1::2]
    cosine = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    return spearmanr(cosine, scores).statistic


def check(folder, pairs):
    texts = [text for left, right, _ in pairs for text in (left, right)]
    ours = PromptEOL(folder, device="cpu").encode(texts, batch_size=64)
    theirs = authors_vectors(folder, texts)
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()
    scores = [score for _, _, score in pairs]
    assert round(spearman(ours, scores), 4) == round(spearman(theirs, scores), 4)


def test_on_our_own_pairs(tiny, architecture):
    check(tiny(architecture), OWN_PAIRS)


def test_a_post_norm_opt_whose_last_layer_is_narrower(tiny):
    """OPT-350m's shape: projections in and out, so the last hidden state is narrower than the others."""
    folder = tiny("opt", word_embed_proj_dim=16, do_layer_norm_before=False)
    check(folder, OWN_PAIRS)
    assert PromptEOL(folder).get_embedding_dimension() == 16
    assert PromptEOL(folder, layer=-2).encode("a").shape == (32,)


@pytest.mark.parametrize("architecture", ["opt", "llama", "gpt2"])
def test_on_stsb_test(tiny, data, architecture):
    pairs = stsb_test(data)
    assert len(pairs) == 1379
    check(tiny(architecture), pairs)


def test_on_real_trained_weights(data):
    check(str(data / "models/stories260K"), stsb_test(data))
