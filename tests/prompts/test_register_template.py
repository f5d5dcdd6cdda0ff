"""A preset of one's own is known wherever the presets of the package are."""

import subprocess
import sys

import pytest

from prompteol import TEMPLATES, PromptEOL, PromptTemplate, RetrievalTemplate, errors, register_template
from prompteol.prompts import presets


@pytest.fixture(autouse=True)
def forgotten_afterwards():
    before = dict(TEMPLATES)
    yield
    for name in TEMPLATES.keys() - before.keys():
        del presets._templates[name]


def test_a_preset_in_ten_lines(tiny, tmp_path):
    register_template("topic-of", 'The topic of "{text}" is:"')
    model = PromptEOL(tiny("llama"), template="topic-of", device="cpu")
    assert model.template == PromptTemplate('The topic of "', '" is:"')
    model.save_pretrained(tmp_path, create_model_card=False)
    del presets._templates["topic-of"]
    again = PromptEOL(tmp_path, device="cpu")
    assert (again.template, again.provenance["template"]) == (model.template, "topic-of")


def test_a_pair_of_templates():
    pair = RetrievalTemplate(PromptTemplate('Q: "', '" is:"'), PromptTemplate('D: "', '" is:"'))
    register_template("pair", pair)
    assert TEMPLATES["pair"] is pair


@pytest.mark.parametrize("name", [*TEMPLATES, "", "two words", "{text}", 3])
def test_a_name_that_is_taken_or_none_is_refused(name):
    before = dict(TEMPLATES)
    with pytest.raises(errors.TemplateError, match=r"exists|is not valid"):
        register_template(name, 'A "{text}" is:"')
    assert before == TEMPLATES


@pytest.mark.parametrize("template", ["no slot", 3, 'A "{text}'])
def test_a_template_that_cannot_be_used_is_not_registered(template):
    with pytest.raises(errors.TemplateError):
        register_template("broken", template)
    assert "broken" not in TEMPLATES


def test_errors_and_help_list_it():
    code = """
from prompteol import errors, register_template
register_template("topic-of", 'The topic of "{text}" is:"')
from prompteol.prompts import resolve_template
try:
    resolve_template("nothing")
except errors.TemplateError as error:
    assert "topic-of" in str(error)
from prompteol.cli.options import TemplateOption
assert "topic-of" in TemplateOption.__metadata__[0].help
"""
    subprocess.run([sys.executable, "-c", code], check=True)
