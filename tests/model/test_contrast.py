"""Words ranked by a contrast are those of a few lines over a plain language model."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prompteol import PromptEOL
from prompteol.model import LanguageModelHead
from prompteol.model.contrast import NEUTRAL_TEXTS

TEXTS = ["A man sings", "A much longer sentence than the other one."]
PROMPT = 'This sentence : "{}" means in one word:"'


def prompt_of(text):
    return PROMPT.format(text if not text or text[-1] in ".?!" else text + ".")


class Plain:
    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder)

    def ids(self, text):
        return self.tokenizer(prompt_of(text))["input_ids"]

    @torch.inference_mode()
    def next(self, ids):
        return self.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)

    def ranked(self, text):
        """Return (gain, probability, token) of every word that is among the 64 likeliest tokens, best first."""
        now, usual = self.next(self.ids(text)), sum(self.next(self.ids(one)) for one in NEUTRAL_TEXTS) / 4
        spelled = {}
        for place, token in enumerate(now.argsort(descending=True)[:512].tolist()):
            word = self.tokenizer.decode([token]).strip()
            if not any(map(str.isalnum, word)) or "\ufffd" in word:
                continue
            if place < 64 or word.casefold() in spelled:
                spelled.setdefault(word.casefold(), []).append(token)
        sums = [(float(now[same].sum()), float(usual[same].sum()), same[0]) for same in spelled.values()]
        return sorted(((one / other, one, token) for one, other, token in sums), reverse=True)

    def spelled_out(self, text, token):
        """Let the model go on for as long as it adds letters."""
        ids, word = self.ids(text), [token]
        for _ in range(6):
            word.append(int(self.next(ids + word).argmax()))
            added = self.tokenizer.decode(word).removeprefix(self.tokenizer.decode(word[:-1]))
            if not added or not all(char.isalpha() or char == "\ufffd" for char in added):
                return self.tokenizer.decode(word[:-1]).strip()
        return self.tokenizer.decode(word[:1]).strip()


@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_words_are_those_whose_probability_the_text_raises_most(tiny, architecture):
    folder = tiny(architecture)
    plain, found = Plain(folder), PromptEOL(folder, device="cpu").words(TEXTS)
    for text, words in zip(TEXTS, found, strict=True):
        expected = {}
        for _, probability, token in plain.ranked(text)[:12]:
            word = plain.spelled_out(text, token)
            if "\ufffd" not in word:
                expected.setdefault(word.casefold(), (word, probability))
        expected = list(expected.values())[:5]
        assert [word.text for word in words] == [word for word, _ in expected]
        assert [word.probability for word in words] == pytest.approx([one for _, one in expected], rel=1e-4)


def test_a_text_alone_has_the_words_that_it_has_among_others(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    together = model.words(TEXTS, k=3)
    assert [[word.text for word in model.words(text, k=3)] for text in TEXTS] == [
        [word.text for word in words] for words in together
    ]


def test_a_word_of_several_tokens_is_spelled_out(tiny, monkeypatch):
    """The head says ``h``, then ``i``, then closes the quote; neutral texts are shorter, and get a quote."""
    model = PromptEOL(tiny("llama"), device="cpu")
    first, second, quote = (model.tokenizer.encode(text, add_special_tokens=False)[-1] for text in ("h", "i", '"'))
    prompt = len(model.module.prompter(["A man sings"], max_length=99)[0])

    def probabilities(head, rows, pad):
        found = torch.full((len(rows), len(model.tokenizer)), 1e-6)
        for row, given in zip(rows, found, strict=True):
            given[{first: second, second: quote}.get(row[-1], first) if len(row) >= prompt else quote] = 1.0
        return found

    monkeypatch.setattr(LanguageModelHead, "probabilities", probabilities)
    word = model.words("A man sings", k=1)[0]
    assert word.text == "hi"
    assert word.probability == pytest.approx(1.0, abs=1e-3)
