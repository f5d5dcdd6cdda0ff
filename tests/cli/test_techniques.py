"""``--technique`` and ``--fit-texts``, in every command that embeds."""

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL, fit_readout

TEXTS = [f"{who} {what}." for who in ("A man", "A dog", "The rain") for what in ("sings", "runs", "falls", "stops")]


@pytest.fixture
def fit_texts(tmp_path):
    path = tmp_path / "fit.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


def test_create_fits_and_saves_a_stock_model(prompteol, base, tmp_path, fit_texts):
    out = tmp_path / "out"
    fitted = ("--technique", "whitening:power=1,dimension=5", "--fit-texts", fit_texts)
    done = prompteol("create", "-m", base, "-o", out, "--layer", "-2", *fitted)
    assert done.exit_code == 0, done.output
    model = PromptEOL(base, layer=-2, device="cpu")
    fit_readout(model, TEXTS, "whitening:power=1,dimension=5")
    assert np.allclose(SentenceTransformer(str(out), device="cpu").encode(TEXTS), model.encode(TEXTS), atol=1e-4)
    shown = json.loads(prompteol("info", "-m", out, "--json").stdout)
    assert shown["technique"] == "whitening:power=1,dimension=5, fitted on 12 texts"
    assert shown["dimension"] == 5


def test_a_forward_technique_is_kept_and_a_pipe_is_embedded_by_it(prompteol, base, tmp_path, fit_texts):
    out = tmp_path / "out"
    several = ("--technique", "prompt-ensemble", "--technique", "centering", "--fit-texts", fit_texts)
    assert prompteol("create", "-m", base, "-o", out, *several).exit_code == 0
    assert "prompt-ensemble" in json.loads(prompteol("info", "-m", out, "--json").stdout)["technique"]
    assert json.loads(prompteol("info", "-m", base, "--json").stdout)["technique"] == "none"
    done = prompteol("encode", "-", "-o", "-", "-m", out, input="A man sings.\n")
    expected = PromptEOL(out, device="cpu").encode("A man sings.")
    assert np.allclose(json.loads(done.stdout)["embedding"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--technique", "whitening"], "--fit-texts FILE"),
        (["--technique", "whitning"], "is none of"),
        (["--technique", "token-prepending:stop=1"], "not above start=1"),
        (["--technique", "token-prepending", "--technique", "echo"], "do not combine"),
        (["--technique", "metaeol", "--fit-texts", "FIT"], "add --technique whitening"),
        (["--fit-texts", "FIT"], "add --technique whitening"),
        (["--technique", "centering", "--fit-texts", "no-such-file.txt"], "no-such-file.txt"),
    ],
)
@pytest.mark.parametrize("command", [["create", "-o", "OUT"], ["similarity", "a", "b"]])
def test_mistakes_are_one_line_before_anything_loads(prompteol, tmp_path, fit_texts, command, options, message):
    names = {"FIT": str(fit_texts), "OUT": str(tmp_path / "out")}
    done = prompteol(*(names.get(part, part) for part in (*command, "-m", "no/such", *options)))
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
