"""``prompteol export``: the folder, the table, the commands, and refusals in one line."""

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL


def test_export(prompteol, base, tmp_path):
    done = prompteol("export", "-m", base, "-o", tmp_path / "out", "--normalize")
    assert done.exit_code == 0, done.stderr
    assert "ordinary" in done.stdout
    assert "vllm serve" in done.stderr
    ours = PromptEOL(base, device="cpu").encode("A man sings.", normalize_embeddings=True)
    assert np.abs(SentenceTransformer(str(tmp_path / "out"), device="cpu").encode("A man sings.") - ours).max() <= 4e-6
    again = prompteol("export", "-m", base, "-o", tmp_path / "out")
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert "--force" in again.stderr


def test_the_checkpoint_s_data_type_is_kept(prompteol, tiny, tmp_path):
    half = PromptEOL(tiny("llama"), device="cpu", model_kwargs={"dtype": "bfloat16"})
    half.save_pretrained(tmp_path / "half")
    for given, expected in (([], "bfloat16"), (["--dtype", "float32"], "float32")):
        done = prompteol("export", "-m", tmp_path / "half", "-o", tmp_path / expected, *given)
        assert done.exit_code == 0, done.stderr
        assert json.loads((tmp_path / expected / "export.json").read_text())["dtype"] == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-t", "promptreps"], "--task query"),
        (["--technique", "metaeol"], "no server does"),
        (["--push", "me/model", "--for", "llama.cpp"], "GGUF"),
        (["--push", "me/model", "--push-revision", "main"], "revision='main'"),
    ],
)
def test_refusals_are_one_line(prompteol, base, tmp_path, arguments, said):
    done = prompteol("export", "-m", base, "-o", tmp_path / "out", *arguments)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
