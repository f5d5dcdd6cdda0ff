"""``prompteol demo`` refuses what contradicts itself, and writes a Space."""

import pytest


def test_what_contradicts_itself_is_refused(prompteol):
    pytest.importorskip("gradio", reason="needs the extra demo")
    assert "give one of them" in prompteol("demo", "a", "-m", "b").stderr
    assert "give one of them" in prompteol("demo", "--space", "folder", "--share").stderr


def test_a_space_has_the_prompt_that_was_asked_for(prompteol, tiny, tmp_path):
    pytest.importorskip("gradio", reason="needs the extra demo")
    out = tmp_path / "space"
    done = prompteol("demo", tiny("llama"), "-d", "A horse.=>Animal", "--space", str(out))
    assert done.exit_code == 0, done.stderr
    assert "hf upload" in done.stderr
    assert "Animal" in (out / "model" / "prompteol.json").read_text(encoding="utf-8")
