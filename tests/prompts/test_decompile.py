"""A chat template that this package compiled can be read back, demonstrations included; no other is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompteol.prompts import (
    DEMONSTRATIONS,
    TEMPLATES,
    Demonstration,
    PromptTemplate,
    RetrievalTemplate,
    compile_chat_template,
    decompile_chat_template,
    resolve_demonstrations,
    resolve_template,
)

MODES = st.sampled_from(["paper", "plain", "none"])
WORDS = st.text("abcé'\"-\\{}%", min_size=1, max_size=6)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("shown", [None, *DEMONSTRATIONS])
def test_every_preset_is_read_back(name, shown):
    template = resolve_template(name)
    if shown:
        template = template.with_demonstrations(resolve_demonstrations(shown))
    for bos, bos_separator in ((True, ""), (False, ""), (True, " "), (False, "</s> ")):
        assert (
            decompile_chat_template(compile_chat_template(template, bos=bos, bos_separator=bos_separator)) == template
        )


@given(
    prefix=st.text(max_size=12),
    suffix=st.text(max_size=8).map(lambda text: text + '"'),
    mode=MODES,
    shown=st.lists(st.tuples(st.text(min_size=1, max_size=12).filter(str.strip), WORDS), max_size=3),
    bos=st.booleans(),
)
def test_whatever_is_read_back_is_the_same_prompt(prefix, suffix, mode, shown, bos):
    template = PromptTemplate(prefix, suffix, mode, tuple(Demonstration(*one) for one in shown))
    source = compile_chat_template(template, bos=bos)
    again = decompile_chat_template(source)
    assert again is not None
    assert again.render("a text") == template.render("a text")
    assert compile_chat_template(again, bos=bos) == source


@pytest.mark.parametrize(
    "edit", [lambda s: s + " ", lambda s: s.replace("said.text", "said.txt"), lambda s: "", lambda s: "{{ messages }}"]
)
def test_another_chat_template_is_none_of_ours(edit):
    one = resolve_template("prompteol")
    for template in (one, RetrievalTemplate(one, one)):
        assert decompile_chat_template(edit(compile_chat_template(template))) is None
