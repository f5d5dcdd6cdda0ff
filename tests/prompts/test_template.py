"""Templates: reading, rendering, refusing."""

import sys
from subprocess import run

import pytest

from prompteol import DEMONSTRATIONS, TEMPLATES, PromptTemplate, RetrievalTemplate
from prompteol.errors import TemplateError
from prompteol.prompts import resolve_template

PROMPTEOL = TEMPLATES["prompteol"]


def test_prompteol_to_the_character():
    assert PROMPTEOL.render("A man is playing a guitar") == (
        'This sentence : "A man is playing a guitar." means in one word:"'
    )


def test_one_demonstration_reads_as_the_paper_prints_it():
    shown = PROMPTEOL.with_demonstrations([DEMONSTRATIONS["opt-2.7b"]])
    assert shown.render("Two dogs run.") == (
        'This sentence : "A jockey riding a horse." means in one word:"Equestrian".'
        'This sentence : "Two dogs run." means in one word:"'
    )


@pytest.mark.parametrize(
    ("text", "paper", "plain"),
    [
        ("", "", ""),
        ("  \n\t ", "", ""),
        ("A  b\nc", "A b c.", "A b c."),
        ("Who?", "Who.", "Who?"),
        ("Stop!", "Stop!.", "Stop!"),
        ('He said "no"', "He said 'no'", 'He said "no".'),
        ('He said "no."', "He said 'no.'", 'He said "no."'),
        ("it's '", "it's '", "it's '."),
        ("什么？", "什么？.", "什么？"),
        ("a_b {x} %s", "a_b {x} %s.", "a_b {x} %s."),
        (")", ").", ")."),
    ],
)
def test_normalization(text, paper, plain):
    for mode, expected in (("paper", paper), ("plain", plain), ("none", text)):
        assert PromptTemplate("<", ">", mode).render(text) == f"<{expected}>"


def test_the_authors_form_is_read():
    assert PromptTemplate.parse('This_sentence_:_"*sent_0*"_means_in_one_word:"') == PROMPTEOL
    shown = PromptTemplate.parse(
        'This_sentence_:_"meat_from_a_deer."_means_in_one_word:"Venison".This_sentence_:_"*sent_0*"_means_in_one_word:"'
    )
    assert shown.render("a_b") == PROMPTEOL.with_demonstrations([DEMONSTRATIONS["opt-13b"]]).render("a_b")


def test_our_form_keeps_underscores():
    assert PromptTemplate.parse("a_b {text} means").prefix == "a_b "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('no slot means:"', "no slot"),
        ("{text} and {text} means", "2 slots"),
        ('{text} *sent_0* means:"', "2 slots"),
        ('This sentence : "{text}', "nothing after"),
        ("", "no slot"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(text, said):
    if said == "nothing after":
        text = "This sentence : {text}"
    with pytest.raises(TemplateError, match=said):
        PromptTemplate.parse(text)


def test_a_suffix_may_not_end_in_whitespace():
    with pytest.raises(TemplateError, match="whitespace"):
        PromptTemplate("a ", " means ")


def test_every_opt_size_has_its_demonstration():
    sizes = ("125m", "350m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b")
    assert set(DEMONSTRATIONS) == {f"opt-{size}" for size in sizes}


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(TemplateError, match="pretended-cot"):
        resolve_template("prompteoll")


def test_a_retrieval_template_has_a_prompt_for_each_role():
    pair = TEMPLATES["promptreps"]
    assert isinstance(pair, RetrievalTemplate)
    assert pair.for_task("query").render("Why?").startswith('Query: "Why?"')
    assert pair.for_task(None) == pair.for_task("document")


def test_prompts_import_no_torch():
    code = "import sys, prompteol.prompts, prompteol; prompteol.TEMPLATES; assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
