"""Whatever a text holds, the last token is the template's, the suffix is whole, and BOS stands once."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from prompteol import TEMPLATES, PromptEOL
from prompteol.errors import InputError, TemplateError

NASTY = [
    "",
    " \n\t",
    '"""',
    "{{ x }}",
    "{% if %}",
    "*sent_0*",
    'means in one word:"',
    "\x00",
    "文字。",
    "😀",
    "</s>",
    "<s>",
    "<|endoftext|>",
    "a/photo.png",
    "https://example.org/film.mp4",
]
texts = st.one_of(st.text(), st.sampled_from(NASTY), st.lists(st.sampled_from(NASTY)).map(" ".join))
ADDS_BOS = {"llama": True, "opt": True, "gpt2": False, "qwen2": False}
LIMIT = 48


@pytest.fixture(scope="module")
def loaded(tiny, tmp_path_factory):
    """A model with a short limit, and the same one as a stock loader sees it."""
    made = {}

    def both(architecture):
        if architecture not in made:
            model = PromptEOL(tiny(architecture), device="cpu")
            model.max_seq_length = LIMIT
            folder = tmp_path_factory.mktemp("saved")
            model.save_pretrained(folder, create_model_card=False)
            made[architecture] = model, SentenceTransformer(str(folder), device="cpu")
        return made[architecture]

    return both


def ids(features):
    return features["input_ids"][0][features["attention_mask"][0].bool()].tolist()


@given(text=texts)
@example("x" * 100_000)
@example("word " * 20_000)
@example('"' * 60)
def test_the_prompt_is_whole(loaded, architecture, text):
    model, stock = loaded(architecture)
    row = ids(model.preprocess([text]))
    tokenizer = model.tokenizer
    assert row == ids(stock.preprocess([text]))
    assert len(row) <= LIMIT
    suffix = tokenizer(' means in one word:"', add_special_tokens=False)["input_ids"]
    assert row[-len(suffix) :] == suffix
    if ADDS_BOS[architecture]:
        assert row[0] == tokenizer.bos_token_id
        own = text.count(tokenizer.bos_token)
        assert row.count(tokenizer.bos_token_id) <= 1 + own
    head = tokenizer("This sentence :", add_special_tokens=False)["input_ids"]
    start = 1 if ADDS_BOS[architecture] else 0
    assert row[start : start + len(head)] == head


@given(text=texts, prompt=st.sampled_from(["", "Be kind. ", "query: "]))
def test_both_roads_with_a_prompt_and_each_role(tiny, tmp_path_factory, text, prompt):
    model, stock = _pair(tiny, tmp_path_factory)
    for task in ("query", "document", None):
        extra = {} if task is None else {"task": task}
        assert ids(model.preprocess([text], prompt=prompt, **extra)) == ids(
            stock.preprocess([text], prompt=prompt, **extra)
        )


_made = []


def _pair(tiny, tmp_path_factory):
    if not _made:
        model = PromptEOL(tiny("llama"), template="promptreps", demonstrations="opt-2.7b", device="cpu")
        model.max_seq_length = 160
        folder = tmp_path_factory.mktemp("pair")
        model.save_pretrained(folder, create_model_card=False)
        _made.append((model, SentenceTransformer(str(folder), device="cpu")))
    return _made[0]


def test_a_special_token_in_a_text_is_that_token_on_both_roads(loaded):
    model, stock = loaded("opt")
    row = ids(model.preprocess(["before </s> after"]))
    assert row.count(model.tokenizer.eos_token_id) == 2
    assert row == ids(stock.preprocess(["before </s> after"]))


def test_a_lone_surrogate_is_named(loaded):
    model, _ = loaded("llama")
    with pytest.raises(InputError, match=r"text 1 .*ud800.* position 2"):
        model.encode(["fine", "ab\ud800c"])


def test_a_limit_below_the_template_is_refused(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    model.max_seq_length = 8
    with pytest.raises(TemplateError, match="leaves no room"):
        model.encode("word " * 20)


@pytest.mark.parametrize("base", ["llama", None], ids=["llama", "the shipped model"])
def test_the_least_limit_that_is_allowed_tells_texts_apart(tiny, base):
    """The message names the limit above which there is room; there a text of which one token is left still counts."""
    model = PromptEOL(base and tiny(base), device="cpu")
    model.max_seq_length = 8
    with pytest.raises(TemplateError, match="set it above") as refused:
        model.encode("word " * 20)
    model.max_seq_length = int(re.search(r"set it above (\d+)", str(refused.value))[1]) + 1
    cat, dog = model.encode(["cat " * 20, "dog " * 20])
    assert abs(cat - dog).max() > 1e-3


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_cut_text_keeps_every_preset_whole(tiny, architecture, name):
    model = PromptEOL(tiny(architecture), template=name, device="cpu")
    model.max_seq_length = 128
    short, long = (ids(model.preprocess([text])) for text in ("one", "many words " * 400))
    tail = model.module.prompter.tail()
    assert len(long) == 128
    assert long[-len(tail) :] == tail == short[-len(tail) :]
