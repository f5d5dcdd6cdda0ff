"""Scores stand in a model's card as a table with its command, and as metadata that the Hub reads."""

import pytest
from huggingface_hub import ModelCard

from hub_server import card_errors
from prompteol import PromptEOL
from prompteol.errors import EvaluationError
from prompteol.evaluation.card import read_card, write_scores
from prompteol.evaluation.results import Evaluation, ModelDescription, TaskScore


@pytest.fixture
def saved(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.save_pretrained(tmp_path / "scored")
    return tmp_path / "scored", model.fingerprint()


def evaluation(fingerprint=None, **scores):
    found = {
        name.replace("_", "-"): TaskScore(name.replace("_", "-"), "spearman", score, 9)
        for name, score in scores.items()
    }
    return Evaluation(ModelDescription("me/tiny", fingerprint=fingerprint), found)


def test_table_command_and_metadata(saved):
    folder, fingerprint = saved
    file = folder / "README.md"
    before = file.read_text()
    for _ in range(2):
        write_scores(
            file, [evaluation(fingerprint, STS12=61.234, STS_B=70.5), evaluation(STS12=50.0)], ["STS12", "STS-B"]
        )
    card = file.read_text()
    assert card_errors(card) == []
    assert card.count("## Scores") == 1
    assert "prompteol evaluate -m scored --tasks STS12,STS-B" in card
    assert "61.23" in card
    assert card.partition("## Servers")[2] == before.partition("## Servers")[2]
    [first, second] = ModelCard(card).data.eval_results
    assert (first.dataset_type, first.metric_type, first.metric_value) == ("mteb/sts12-sts", "cosine_spearman", 0.61234)
    assert second.dataset_name == "MTEB STS-B"
    # Saved again it is the same model, and its card stays.
    PromptEOL(folder, device="cpu").save_pretrained(folder / "again")
    assert (folder / "again" / "README.md").read_text() == card.replace("scored", "again")


def test_another_model_or_no_card(saved, tmp_path):
    folder, _ = saved
    with pytest.raises(EvaluationError, match="is the card of a model with fingerprint"):
        write_scores(folder / "README.md", [evaluation("0" * 64, STS12=1.0)], ["STS12"])
    for text in (None, "# No scores\n", "---\n: [\n---\n"):
        file = tmp_path / "other.md"
        if text is not None:
            file.write_text(text)
        with pytest.raises(EvaluationError, match=r"other\.md"):
            read_card(file)
