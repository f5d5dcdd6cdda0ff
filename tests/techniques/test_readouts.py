"""Linear read-outs: against NumPy on the states of plain transformers, in the portable form, by plain loaders."""

import json
import sys
from subprocess import run

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from prompteol import PromptEOL, fit_readout
from prompteol.errors import InputError, SettingError
from prompteol.techniques import Whitening

SHOWN = 'This sentence : "A jockey riding a horse." means in one word:"Equestrian".'


def center(vectors):
    return vectors - vectors.mean(0)


def without_top(vectors, count):
    centered = center(vectors)
    top = np.linalg.svd(centered)[2][:count]
    return centered - centered @ top.T @ top


def whitened(vectors, power, kept=None, shrinkage=0.0):
    centered = center(vectors)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    variances = singular**2 / len(vectors)
    deviations = ((1 - shrinkage) * variances + shrinkage * variances.sum() / vectors.shape[1]) ** 0.5
    return (left * singular / deviations**power)[:, :kept]


CASES = {
    "centering": center,
    "all-but-the-top:components=2": lambda vectors: without_top(vectors, 2),
    "whitening": lambda vectors: whitened(vectors, 0.5),
    "whitening:power=1,dimension=8": lambda vectors: whitened(vectors, 1, 8),
    "whitening:power=1,shrinkage=0.1": lambda vectors: whitened(vectors, 1, shrinkage=0.1),
}


def alike(ours, reference):
    """Whether two sets of vectors are equal to 1e-5 but for a rotation: the sign of a component is free."""
    ours, reference = (vectors.astype("float64") for vectors in (ours, reference))
    return np.abs(ours @ ours.T - reference @ reference.T).max() <= 1e-5 * np.abs(reference @ reference.T).max()


@pytest.mark.parametrize("technique", CASES)
@pytest.mark.parametrize("demonstrations", [None, "opt-2.7b"])
def test_a_few_lines_of_numpy_give_the_same(tiny, architecture, technique, demonstrations, texts, plain_states, close):
    folder, head = tiny(architecture), SHOWN if demonstrations else ""
    model = PromptEOL(folder, layer=-2, demonstrations=demonstrations, device="cpu")
    fit_readout(model, texts + texts[:9], technique)
    prompts = [f'{head}This sentence : "{text}." means in one word:"' for text in texts]
    found = model.encode(texts)
    assert alike(found, CASES[technique](plain_states(folder, prompts, -2)))
    assert close(np.stack([model.encode(text) for text in texts[:5]]), found[:5])


def test_several_read_outs_are_one_matrix(tiny, texts):
    model = PromptEOL(tiny("llama"), device="cpu")
    before = model.encode(texts).astype("float64")
    fit_readout(model, texts, ["all-but-the-top:components=2", Whitening(dimension=4)])
    assert [type(part).__name__ for part in model] == ["PromptEOLModule", "Dense"]
    assert alike(model.encode(texts), whitened(without_top(before, 2), 0.5, 4))
    assert model.get_embedding_dimension() == 4


def test_embed_filter_keeps_the_middle_of_the_unembedding_matrix(tiny, texts):
    for tied in (True, False):
        folder = tiny("llama", tied=tied)
        plain = PromptEOL(folder, device="cpu").encode(texts)
        head = AutoModelForCausalLM.from_pretrained(folder).lm_head.weight.detach().double().numpy()
        model = PromptEOL(folder, technique="embed-filter:share=0.25", device="cpu")
        middle = np.linalg.svd(head)[2][12:20]
        assert alike(model.encode(texts), plain @ middle.T)
        assert model.provenance["readout"] == "embed-filter:share=0.25"
    with pytest.raises(SettingError, match="give the read-out that needs it first"):
        fit_readout(PromptEOL(folder, device="cpu"), texts, ["centering", "embed-filter"])
    with pytest.raises(SettingError, match="outside 0 to 1"):
        PromptEOL(folder, technique="embed-filter:share=1")


STRANGER = """
import sys
sys.modules["prompteol"] = None
import numpy as np
from sentence_transformers import SentenceTransformer
np.save(sys.argv[1] + "/vectors.npy", SentenceTransformer(sys.argv[1], device="cpu").encode(sys.argv[2:]))
"""


def test_it_is_saved_in_the_portable_form(tiny, tmp_path, texts, close):
    model = PromptEOL(tiny("opt"), layer=-2, demonstrations="opt-2.7b", device="cpu")
    fingerprint = model.fingerprint()
    fit_readout(model, texts)
    assert model.fingerprint() != fingerprint
    model.save_pretrained(tmp_path)
    expected = model.encode(texts[:9])
    kinds = [part["type"].split(".")[-1] for part in json.loads((tmp_path / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Dense"]
    again = PromptEOL(tmp_path, device="cpu")
    assert close(again.encode(texts[:9]), expected)
    assert again.fingerprint() == model.fingerprint()
    how = f"whitening:power=0.5, fitted on {len(texts)} texts"
    assert again.provenance["readout"] == how
    assert how in (tmp_path / "README.md").read_text()
    run([sys.executable, "-c", STRANGER, tmp_path, *texts[:9]], check=True)
    assert close(np.load(tmp_path / "vectors.npy"), expected)
    with pytest.raises(SettingError, match="has a read-out already"):
        fit_readout(again, texts)


def test_in_half_precision_and_with_cut_vectors(tiny, texts):
    model = PromptEOL(tiny("llama"), model_kwargs={"dtype": "bfloat16"}, truncate_dim=3, device="cpu")
    fit_readout(model, texts)
    assert model.encode(texts[:2]).shape == (2, 3)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("given", "technique", "error", "match"),
    [
        (80, "whitning", SettingError, "'whitning' is none of .*centering"),
        (80, "whitening:power=2", SettingError, "power=2 is outside 0 to 1"),
        (80, "whitening:strength=1", SettingError, "no option 'strength': it takes power=0.5"),
        (80, "whitening:power", SettingError, 'write "whitening:OPTION=VALUE"'),
        (80, "whitening:dimension=99", InputError, "vary in 32 directions, not in 99"),
        (80, "whitening:dimension=0", SettingError, "dimension=0 is none"),
        (80, "all-but-the-top:components=32", InputError, "32 dimensions do not have more than 32"),
        (80, "all-but-the-top:components=0.5", SettingError, "components=0.5 is no number"),
        (80, [], SettingError, "no technique was given"),
        (80, 7, SettingError, "technique=7 is none of"),
        (None, "centering", SettingError, "is fitted on texts"),
        ([], "centering", SettingError, "is fitted on texts"),
        (3, "all-but-the-top", InputError, "3 texts of 32 dimensions"),
        (20, "whitening", InputError, "vary in 19 directions, not in 32"),
        (["a", 3], "whitening", InputError, "text 1 is int"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(tiny, given, technique, error, match, texts):
    model = PromptEOL(tiny("llama"), device="cpu")
    with pytest.raises(error, match=match):
        fit_readout(model, texts[:given] if isinstance(given, int) else given, technique)
    assert len(model) == 1
    assert "readout" not in model.provenance
