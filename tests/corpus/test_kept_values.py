"""What is kept beside the vectors comes out as it went in, or is refused."""

import json
import math
from datetime import date
from decimal import Decimal
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prompteol
from prompteol.errors import CorpusError

OUTPUTS = ["parquet", "npy"]
LONG = 2**53 + 1
INTEGERS = [0, -1, LONG, -LONG, 2**63 - 1, -(2**63)]


def kept(static, inputs, out, output_format, **options):
    corpus = prompteol.embed_corpus(static, inputs, out, keep=["id"], output_format=output_format, **options)
    if output_format == "npy":
        lines = "".join(path.read_text() for path in sorted(out.glob("*.ids.jsonl"))).splitlines()
        for line in lines:
            json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert corpus.rows(range(len(corpus))) == [{"row": row, "id": id} for row, id in enumerate(corpus.ids)]
    return corpus.ids


def same(found, expected):
    return [(type(one), one) for one in found] == [(type(one), one) for one in expected]


@pytest.mark.parametrize("output_format", OUTPUTS)
@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet", "rows", "numpy"])
@pytest.mark.parametrize("ids", [INTEGERS, [*INTEGERS, 2**64 - 1, 10**30], [2**64 - 1, 3], [LONG, None]])
def test_integers_of_any_size(static, tmp_path, output_format, form, ids):
    path, expected = tmp_path / f"in.{form}", ids
    rows = [{"id": one, "text": "a"} for one in ids]
    if form == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    elif form in ("csv", "tsv"):
        mark = {"csv": ",", "tsv": "\t"}[form]
        expected = ["" if one is None else f"{one}" for one in ids]
        path.write_text(f"id{mark}text\n" + "".join(f"{one}{mark}a\n" for one in expected))
    elif form == "parquet":
        if max(one or 0 for one in ids) > 2**64 - 1 or (min(one or 0 for one in ids) < 0 and max(ids) >= 2**63):
            pytest.skip("no type of Parquet holds them all")
        kind = pa.uint64() if max(one or 0 for one in ids) >= 2**63 else pa.int64()
        pq.write_table(pa.table({"id": pa.array(ids, kind), "text": ["a"] * len(ids)}), path)
    else:
        path = rows
        if form == "numpy":
            numbers = (one if one is None or abs(one) >= 2**63 else np.int64(one) for one in ids)
            path = [{"id": one, "text": "a"} for one in numbers]
    assert same(kept(static, path, tmp_path / "out", output_format), expected)


@pytest.mark.parametrize("output_format", OUTPUTS)
def test_integers_among_floats(static, tmp_path, output_format):
    """A float that holds the integer stands for it; where none does, no integer becomes one."""
    near, far = [{"text": "a", "id": 1.5}, {"text": "b", "id": 3}], [{"text": "c", "id": LONG}]
    assert kept(static, near, tmp_path / "near", output_format) == [1.5, 3.0]
    assert same(kept(static, near + far, tmp_path / "far", output_format), [1.5, 3, LONG])
    for rows, said in [(near * 1024 + far, f"'id' holds {LONG}"), (far * 2048 + near, "'id' holds 1.5")]:
        with pytest.raises(CorpusError, match=rf"row 2049: {said}, where the first rows have it as"):
            kept(static, rows, tmp_path / "late", output_format)


def test_a_column_that_is_null_at_first_and_no_string_then_is_told_so(static, tmp_path):
    rows = [{"text": "a", "id": None}] * 2048 + [{"text": "b", "id": 7}]
    with pytest.raises(CorpusError, match="row 2049: 'id' holds 7, where the first rows have it as a string or null: "):
        kept(static, rows, tmp_path / "out", "parquet")


numbers = st.one_of(st.integers(), st.integers(-(2**65), 2**65), st.floats(allow_nan=False, allow_infinity=False))
strings = st.text(st.characters(exclude_categories=["Cs"]))
values = st.one_of(st.none(), st.booleans(), numbers, strings, st.lists(st.integers(-LONG, LONG), max_size=2))


@pytest.mark.parametrize("output_format", OUTPUTS)
@given(ids=st.lists(values, min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_values_of_any_kind_together(static, tmp_path_factory, output_format, ids):
    rows = [{"text": "a", "id": one} for one in ids]
    found = kept(static, rows, tmp_path_factory.mktemp("kept") / "out", output_format)
    assert found == ids
    assert [isinstance(one, bool) for one in found] == [isinstance(one, bool) for one in ids]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_number_that_json_has_not(static, tmp_path, value):
    rows = [{"text": "a", "id": 1.5}, {"text": "b", "id": value}, {"text": "c", "id": 2.5}]
    corpus = prompteol.embed_corpus(static, rows, tmp_path / "parquet", keep=["id"])
    assert corpus.ids == pytest.approx([1.5, float(value), 2.5], nan_ok=True)

    with pytest.raises(CorpusError, match=r"row 2: 'id' holds -?(nan|inf), which JSON has not: keep it in shards"):
        kept(static, rows, tmp_path / "npy", "npy")
    corpus = prompteol.embed_corpus(static, rows, tmp_path / "npy", keep=["id"], output_format="npy", on_error="skip")
    assert corpus.column("id") == [1.5, 2.5]


class Color(Enum):
    RED = 1


@pytest.mark.parametrize("output_format", OUTPUTS)
@pytest.mark.parametrize("value", [b"\xff", {1, 2}, object(), Color.RED, [math.nan], np.datetime64("NaT"), 1j])
def test_what_json_has_not_is_refused(static, tmp_path, output_format, value):
    rows = [{"text": "a", "id": "x"}, {"text": "b", "id": value}]
    with pytest.raises(CorpusError, match=r"row 2: 'id' holds .*, which JSON has not; leave it out of keep"):
        kept(static, rows, tmp_path / "out", output_format)


def test_dates_and_decimals_are_kept_as_text(static, tmp_path):
    pq.write_table(
        pa.table({"text": ["a"], "id": [Decimal("1.50")], "day": [date(2020, 2, 29)]}), tmp_path / "in.parquet"
    )
    corpus = prompteol.embed_corpus(static, tmp_path / "in.parquet", tmp_path / "out", keep=["id", "day"])
    assert corpus.rows([0]) == [{"row": 0, "id": "1.50", "day": "2020-02-29"}]
