"""The chat template and the Python renderer are the same prompt, for any text there is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prompteol import TEMPLATES, Demonstration, PromptTemplate
from prompteol.prompts import compile_chat_template
from prompteol.testing import tiny_tokenizer

NASTY = [
    "",
    "   ",
    '"',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# no #}",
    "{text}",
    "*sent_0*",
    'means in one word:"',
    "\x00",
    "a\u2028b\x1cc",
    "文字。",
    "😀 👩‍👩‍👧",
    "</s> <s>",
    "%s {0}",
    "\\n \\' \\",
]
texts = st.one_of(st.text(), st.sampled_from(NASTY), st.lists(st.sampled_from(NASTY)).map("".join))
constants = st.text(max_size=30).filter(lambda s: "{text}" not in s and "*sent_0*" not in s)


def rendered(tokenizer, text, **kwargs):
    return tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, **kwargs)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer("llama")


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("mode", ["paper", "plain", "none"])
@given(text=texts)
@example("\x85 a?")
def test_presets(tokenizer, name, mode, text):
    task = None
    template = TEMPLATES[name].for_task(task)
    template = PromptTemplate(template.prefix, template.suffix, mode, (Demonstration('{{ "x" }} \\ 😀', "Ünï'"),))
    tokenizer.chat_template = compile_chat_template(template, bos=True)
    assert rendered(tokenizer, text) == "<s>" + template.render(text)


@given(text=texts, prefix=constants, suffix=constants.filter(lambda s: s.strip() and s == s.rstrip()))
def test_any_template(tokenizer, text, prefix, suffix):
    template = PromptTemplate(prefix, suffix, "none")
    tokenizer.chat_template = compile_chat_template(template)
    assert rendered(tokenizer, text) == template.render(text) == prefix + text + suffix


@given(text=texts)
def test_each_role_of_a_pair(tokenizer, text):
    pair = TEMPLATES["promptreps"]
    tokenizer.chat_template = compile_chat_template(pair)
    for task in ("query", "document"):
        assert rendered(tokenizer, text, task=task) == pair.for_task(task).render(text)
        named = [{"role": "system", "content": task}, {"role": "user", "content": text}]
        assert tokenizer.apply_chat_template(named, tokenize=False) == pair.for_task(task).render(text)
    assert rendered(tokenizer, text) == pair.for_task(None).render(text)


def test_a_system_message_stands_between_bos_and_prompt(tokenizer):
    template = TEMPLATES["prompteol"]
    tokenizer.chat_template = compile_chat_template(template, bos=True)
    messages = [{"role": "system", "content": "Be kind. "}, {"role": "user", "content": "Hello."}]
    got = tokenizer.apply_chat_template(messages, tokenize=False)
    assert got == '<s>Be kind. This sentence : "Hello." means in one word:"'
