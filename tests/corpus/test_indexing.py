"""The vectors of a corpus are indexed as the numpy array that they make up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import prompteol

ROWS, WIDTH = 31, 8


@pytest.fixture(scope="module", params=["parquet", "npy"])
def corpus(static, tmp_path_factory, request):
    texts = [{"text": f"Sentence {number}."} for number in range(ROWS)]
    out = tmp_path_factory.mktemp("indexed") / "out"
    return prompteol.embed_corpus(static, texts, out, shard_rows=7, output_format=request.param)


def check_same(vectors, whole, key):
    """Compare what a key gives, or that both refuse it."""
    try:
        expected = whole[key]
    except IndexError:
        with pytest.raises(IndexError):
            vectors[key]
        return
    found = vectors[key]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(found, expected)


def indices(size, shape=None):
    """Draw what may stand for one axis, also what lies outside it."""
    integer = st.integers(-size - 2, size + 1)
    shapes = arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4)
    within = st.integers(-size, size - 1)
    integers = arrays.arrays(st.sampled_from([np.int64, np.int8, np.int32]), shape or shapes, elements=within)
    masks = st.one_of(arrays.arrays(bool, size), arrays.arrays(bool, size + 1))
    return st.one_of(
        integer,
        integer.map(np.int8),
        st.slices(size),
        st.slices(size + 5),
        st.lists(integer, max_size=4),
        integers,
        integers.map(lambda array: array.tolist()),
        masks,
        masks.map(lambda mask: mask.tolist()),
        st.sampled_from([None, Ellipsis, True, np.bool_(False), 1.5, [1.5], np.array(3), np.array([]), np.uint64([3])]),
    )


@given(key=indices(ROWS))
@settings(deadline=None, max_examples=150)
def test_one_index(corpus, key):
    check_same(corpus.vectors, np.asarray(corpus.vectors), key)


@given(key=st.one_of(
    st.tuples(indices(ROWS), indices(WIDTH)),
    st.tuples(indices(ROWS, (3,)), indices(WIDTH, (3,))),
    st.tuples(indices(ROWS, (3,)), st.sampled_from([None, Ellipsis, slice(None)]), indices(WIDTH, (3,))),
    st.tuples(st.none(), indices(ROWS), indices(WIDTH)),
    arrays.basic_indices((ROWS, WIDTH), allow_newaxis=True, allow_ellipsis=True),
    arrays.arrays(bool, (ROWS, WIDTH)),
))  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_several_indices(corpus, key):
    check_same(corpus.vectors, np.asarray(corpus.vectors), key)


def test_a_copy_cannot_be_avoided(corpus):
    with pytest.raises(ValueError, match="leave copy=False out"):
        np.asarray(corpus.vectors, copy=False)
