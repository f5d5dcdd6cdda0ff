"""What texts may be given as: anything that holds strings in an order; all else is one line with its place."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from prompteol import PromptEOL
from prompteol.embedder import TextEmbedder
from prompteol.errors import InputError

TEXTS = ["A man sings.", "Two dogs run."]

HOLDERS = {
    "tuple": lambda: tuple(TEXTS),
    "generator": lambda: (text for text in TEXTS),
    "keys": lambda: dict.fromkeys(TEXTS).keys(),
    "numpy": lambda: np.array(TEXTS),
    "numpy objects": lambda: np.array(TEXTS, dtype=object),
    "numpy scalars": lambda: [np.str_(text) for text in TEXTS],
    "series": lambda: pd.Series(TEXTS),
    "series with holes in its index": lambda: pd.Series([TEXTS[0], "x", TEXTS[1]]).drop(1),
    "series with names for an index": lambda: pd.Series(TEXTS, index=["a", "b"]),
    "series of the string dtype": lambda: pd.Series(TEXTS, dtype="string"),
    "categorical": lambda: pd.Categorical(TEXTS),
    "index": lambda: pd.Index(TEXTS),
    "pyarrow": lambda: pa.array(TEXTS),
    "pyarrow chunks": lambda: pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
}
REFUSED = {
    "text 1 is NoneType None.*drop such rows": lambda: ["a", None],
    "text 1 is float nan.*drop such rows": lambda: pd.Series(["a", float("nan")], index=[3, 7]),
    "text 1 is NAType <NA>.*drop such rows": lambda: pd.Series(["a", pd.NA], dtype="string"),
    "text 1 is NoneType": lambda: pa.array(["a", None]),
    "text 0 is float 1.0": lambda: np.array([1.0, 2.0]),
    "text 0 is int 1": lambda: torch.tensor([1, 2]),
    "text 0 is bytes b'a'": lambda: b"a",
    "text 1 is bytes b'b'": lambda: ["a", b"b"],
    r"text 0 is list \['a'\]": lambda: [["a"], ["b"]],
    r"text 0 is list \['b'\]": lambda: np.array([["b"]]),
    "text 0 is dict": lambda: {"text": "a"},
    "text 0 is (Posix|Windows)Path": lambda: Path("texts.txt"),
    "are a set, whose order": lambda: {"a", "b"},
    "are a table .DataFrame. with the columns id, text": lambda: pd.DataFrame({"id": [1], "text": ["a"]}),
    "are a table .Table. with the columns text": lambda: pa.table({"text": ["a"]}),
}


@pytest.fixture(scope="module")
def model(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


@pytest.mark.parametrize("holder", HOLDERS)
def test_texts_in_any_order_keeping_holder(model, holder):
    expected = model.encode(TEXTS)
    for encode in (model.encode, model.encode_query, model.encode_document):
        assert np.allclose(encode(HOLDERS[holder]()), expected, atol=1e-5)
    assert model.words(HOLDERS[holder](), k=1) == model.words(TEXTS, k=1)


@pytest.mark.parametrize("said", REFUSED)
def test_what_holds_no_texts_is_one_line(model, said):
    for embed in (model.encode, model.encode_query, model.words):
        with pytest.raises(InputError, match=said) as refused:
            embed(REFUSED[said]())
        assert "\n" not in str(refused.value)


def test_one_text_in_any_form(model):
    expected = model.encode(TEXTS[0])
    for single in (np.str_(TEXTS[0]), np.array(TEXTS[0])):
        assert np.allclose(model.encode(single), expected, atol=1e-5)
    assert len(model.preprocess(TEXTS[0])["input_ids"]) == 1


def test_an_embedder_takes_the_same(model):
    embedder = TextEmbedder(model, normalize=False)
    assert np.allclose(embedder.embed(pd.Series(TEXTS, index=[3, 7]), "document"), model.encode(TEXTS), atol=1e-5)
    with pytest.raises(InputError, match="are a table"):
        embedder.embed(pd.DataFrame({"text": TEXTS}), "document")
