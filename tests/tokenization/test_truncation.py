"""A very long prompt is cut before it is tokenized, and its row is the one that the whole prompt would have."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from prompteol import PromptEOL
from prompteol.prompts import TEMPLATES
from prompteol.testing import tiny_tokenizer
from prompteol.tokenization import PromptTokenizer, prompt_tokenizer
from prompteol.tokenization.truncation import PromptCutter

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
MISTRAL = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
CORPUS = [
    'This sentence : "A man is playing a guitar." means in one word:"Music".',
    "Two dogs run in the snow, don't they? I'LL say 12345 of them DID.",
    "Élan vital, 文字。 naïve cafés\n\n  and more   blanks",
    " ".join(LETTERS),
]
MARKED = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def byte_level(*splits, **flags):
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, **flags)])


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


# Normalizer, pre-tokenizer, kind of model, and whether prompts may be cut.
KINDS = {
    "gpt2": (None, byte_level(), "bpe", True),
    "smollm": (None, byte_level(pre_tokenizers.Digits(individual_digits=True)), "bpe", True),
    "llama3": (None, byte_level(isolated(LLAMA_3), use_regex=False), "bpe", True),
    "qwen": (normalizers.NFC(), byte_level(isolated(LLAMA_3.replace("{1,3}", "")), use_regex=False), "bpe", True),
    "mistral": (None, byte_level(isolated(MISTRAL), use_regex=False), "bpe", True),
    "llama2": (MARKED, None, "words", True),
    "gemma": (normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), "words", True),
    "metaspace": (normalizers.NFKC(), pre_tokenizers.Metaspace(), "unigram", True),
    "phrases": (MARKED, None, "bpe", False),
    "unknown pattern": (None, byte_level(isolated(r"\p{L}+ ?\p{L}+|."), use_regex=False), "bpe", False),
    "digits alone": (None, byte_level(isolated(r"\p{N}{1,3}"), use_regex=False), "bpe", False),
    "prefix space": (None, pre_tokenizers.Metaspace(prepend_scheme="first"), "bpe", True),
    "lower": (normalizers.Lowercase(), pre_tokenizers.ByteLevel(add_prefix_space=True), "bpe", True),
    "wordpiece": (normalizers.NFC(), pre_tokenizers.BertPreTokenizer(), "wordpiece", True),
    "strip": (normalizers.Strip(), byte_level(), "bpe", False),
}


def words_alone(tokenizer):
    """Train as SentencePiece does, within words, and then let the model see whole sentences."""
    whole = tokenizer.pre_tokenizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False)
    )
    parts = json.loads(tokenizer.to_str())
    parts["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    if whole is not None:
        tokenizer.pre_tokenizer = whole
    return tokenizer


def made(kind):
    normalizer, split, model, _ = KINDS[kind]
    empty = {
        "bpe": models.BPE(unk_token="<unk>"),
        "words": models.BPE(unk_token="<unk>", fuse_unk=True),
        "unigram": models.Unigram(),
        "wordpiece": models.WordPiece(unk_token="<unk>"),
    }[model]
    tokenizer = Tokenizer(empty)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if split is not None:
        tokenizer.pre_tokenizer = split
    if model == "words":
        tokenizer = words_alone(tokenizer)
    else:
        trainer = {
            "bpe": trainers.BpeTrainer,
            "unigram": trainers.UnigramTrainer,
            "wordpiece": trainers.WordPieceTrainer,
        }
        options = {"vocab_size": 420, "special_tokens": ["<unk>"], "show_progress": False}
        if model == "bpe" and split is not None:
            options["initial_alphabet"] = sorted(pre_tokenizers.ByteLevel.alphabet())
        if model == "unigram":
            options["unk_token"] = "<unk>"
        tokenizer.train_from_iterator(CORPUS, trainer[model](**options))
    tokenizer.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True), AddedToken("<pad>", rstrip=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: made(kind) for kind in KINDS}


words = st.sampled_from(
    ["a", "man", "MAN", "sings", "don't", "I'LL", "12345", "文字", "é", "e\u0301", "\u0301", ".", '."', "</s>",
     "<mask>", "<pad>", "\n", "\t", "  ", "▁", "Ġ", "ﬁ", "😀", "ΣΑΣ", "x" * 30]
)  # fmt: skip
texts = st.lists(st.one_of(words, st.text(max_size=4)), min_size=3, max_size=20).map(" ".join) | st.lists(words).map(
    "".join
)


def ids(tokenizer, text):
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_which_tokenizers_have_seams(tokenizers, kind):
    cutter = PromptCutter(tokenizers[kind])
    assert (cutter.cut("a man sings and sings", 12) == "a man") is KINDS[kind][-1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][-1]])
@given(text=texts)
def test_the_tokens_before_every_seam_are_those_of_the_whole(tokenizers, kind, text):
    tokenizer = tokenizers[kind]
    cutter = PromptCutter(tokenizer)
    whole = ids(tokenizer, text)
    for length in range(8, len(text) + 8, max(8, len(text) // 6)):
        beginning = cutter.cut(text, length)
        if beginning is not None:
            first = ids(tokenizer, beginning)
            assert first == whole[: len(first)]


@given(text=texts, times=st.integers(1, 8), limit=st.integers(24, 60))
def test_a_row_is_that_of_the_whole_prompt(monkeypatch, text, times, limit):
    monkeypatch.setattr(prompt_tokenizer, "_WORTH_CUTTING", 0)
    tokenizer = tiny_tokenizer("llama")
    prompter = PromptTokenizer(tokenizer, TEMPLATES["prompteol"])
    long = text * times + " and so on" * 200
    (row,) = prompter([long], max_length=limit)
    prompter._cut = lambda cutter, whole, _: whole
    assert prompter([long], max_length=limit) == [row]


SHARING = [kind for kind in KINDS if KINDS[kind][-1] and kind not in ("llama2", "gemma")]


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*SHARING}))
def test_a_tokenizer_in_which_a_token_may_reach_across_is_given_all(tokenizers, kind):
    """Or one that marks the start of what it is given, which the rest of a prompt is not."""
    assert PromptCutter(tokenizers[kind]).shared_ends("This sentence : ", " means in one word: ") == ("", "")


@pytest.mark.parametrize("kind", SHARING)
@given(text=texts, before=texts, after=texts, shown=st.booleans())
def test_what_all_prompts_share_is_tokenized_once_with_the_same_ids(tokenizers, kind, text, before, after, shown):
    tokenizer = tokenizers[kind]
    before, after = before + " This sentence : " * shown, " means in one word: " * shown + after
    begin, end = PromptCutter(tokenizer).shared_ends(before, after)
    assert before.startswith(begin)
    assert after.endswith(end)
    whole = before + text + after
    parts = (begin, whole[len(begin) : len(whole) - len(end)], end)
    assert [found for part in parts if part for found in ids(tokenizer, part)] == ids(tokenizer, whole)
    assert (begin and end) or not shown


@pytest.mark.parametrize("base", ["llama", None])
@pytest.mark.parametrize("demonstrations", [None, "opt-2.7b"])
def test_many_short_texts_have_the_rows_of_each_alone(tiny, base, demonstrations, monkeypatch):
    model = PromptEOL(base and tiny(base), demonstrations=demonstrations, device="cpu")
    texts = [f"A man sings {number} songs, don't they? </s> {chr(number + 200)}" for number in range(40)]
    prompter, tokenized = model.module.prompter, []
    one_by_one = [prompter([text], max_length=512)[0] for text in texts]
    ids_of = prompter._ids
    monkeypatch.setattr(prompter, "_ids", lambda prompts: tokenized.extend(prompts) or ids_of(prompts))
    assert prompter(texts, max_length=512) == one_by_one
    assert sum(map(len, tokenized)) < len(texts) * 100 or base


@pytest.mark.parametrize("token", [AddedToken("This", rstrip=True), AddedToken("this", normalized=True, rstrip=True)])
def test_an_added_token_that_takes_the_blank_behind_it(token):
    tokenizer = made("lower")
    before, after = ' This sentence : "', '" means in one word:"'
    assert all(PromptCutter(tokenizer).shared_ends(before, after))
    tokenizer.add_tokens([token])
    assert not any(PromptCutter(tokenizer).shared_ends(before, after))


def test_a_pre_tokenizer_that_is_written_in_python():
    class Own:
        def pre_tokenize(self, text):
            """Leave all as it is."""

    tokenizer = made("gpt2")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Own())
    assert PromptCutter(tokenizer).cut("a man sings", 8) is None
    assert not any(PromptCutter(tokenizer).shared_ends("This sentence :", " means in one word:"))


def test_an_added_token_that_holds_a_blank():
    tokenizer = made("gpt2")
    assert PromptCutter(tokenizer).cut("a man sings", 8) == "a man"
    tokenizer.add_tokens([AddedToken("man sings")])
    assert PromptCutter(tokenizer).cut("a man sings", 8) is None


@pytest.mark.parametrize("length", [40, 200])
def test_a_tokenizer_edited_after_a_long_text_was_encoded(tiny, tmp_path, length):
    """Its new tokens are in what every prompt begins and ends with, and may cross where a text was cut."""
    model = PromptEOL(tiny("llama"), device="cpu")
    model.max_seq_length = length
    texts = ["It is raining cats and dogs " * 4000, "A man plays."]
    model.encode(texts)
    model.tokenizer.add_tokens(["means in one word", "cats and dogs", "sentence :"])
    model.transformers_model.resize_token_embeddings(len(model.tokenizer))
    edited = [model.encode(texts), model.encode(texts, engine="stock"), model.encode(texts[0])[None]]
    model.save(tmp_path)
    for vectors in edited:
        assert np.allclose(vectors, PromptEOL(tmp_path, device="cpu").encode(texts)[: len(vectors)], atol=1e-5)


@pytest.mark.parametrize("base", ["llama", None])
@pytest.mark.parametrize("normalization", ["paper", "plain", "none"])
def test_twenty_megabytes_take_no_longer_than_reading_them(tiny, normalization, base):
    """All of it tokenized took half a minute, with the shipped model (no base) too."""
    model = PromptEOL(base and tiny(base), normalization=normalization, device="cpu")
    text = "A man sings. " * 1_600_000
    began = time.process_time()
    vector = model.encode(text)
    assert time.process_time() - began < 10
    assert abs(vector - model.encode(text[:20_000])).max() < 1e-5
