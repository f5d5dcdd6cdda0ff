"""The words a text means are the language model's own next words."""

import re

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, ModernBertDecoderConfig

from prompteol import PromptEOL
from prompteol.errors import InputError, ModelError, NonFiniteError

PROMPT = 'This sentence : "A man sings." means in one word:"'


@torch.inference_mode()
def expected(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
    logits = AutoModelForCausalLM.from_pretrained(folder)(**batch).logits[0, -1]
    totals = {}
    for token, probability in enumerate(logits.softmax(-1).tolist()):
        word = tokenizer.decode([token]).strip()
        if word and not re.search(r"[\x00-\x1f\x7f-\x9f\ufffd]", word):
            totals[word] = totals.get(word, 0) + probability
    return sorted(totals.items(), key=lambda item: -item[1])[:5]


@pytest.mark.parametrize("tied", [True, False])
def test_words_of_a_base_model(tiny, architecture, tied):
    folder = tiny(architecture, tied=tied)
    words = PromptEOL(folder, device="cpu").words(
        ["A man sings", "A much longer sentence than the other one."], contrast=False
    )
    assert [word.text for word in words[0]] == [word for word, _ in expected(folder)]
    assert [word.probability for word in words[0]] == pytest.approx([p for _, p in expected(folder)], rel=1e-4)
    assert len(words[1]) == 5


def test_control_characters_and_bytes_of_a_character_are_no_word(tiny):
    """Of a tiny byte-level vocabulary most tokens beyond ASCII are bytes that need others to make a character."""
    model = PromptEOL(tiny("llama"), device="cpu")
    tokens = {token: model.tokenizer.decode([token]) for token in model.tokenizer.get_vocab().values()}
    assert any("\ufffd" in text for text in tokens.values())
    assert "\x07" in tokens.values()
    words = model.words(["A man sings", "文字"], k=500, contrast=False)
    assert not [word for row in words for word in row if re.search(r"[\x00-\x1f\x7f-\x9f\ufffd]", word.text)]
    assert min(map(len, words)) > 100


@pytest.mark.parametrize("tied", [True, False])
def test_words_after_the_backbone_was_edited_or_replaced(tiny, tied):
    folder, other = tiny("llama", tied=tied), tiny("llama", tied=tied, seed=1)

    def edited(*, asked_before):
        model = PromptEOL(folder, device="cpu")
        if asked_before:
            model.words("A man sings")
        model.transformers_model.set_input_embeddings(PromptEOL(other, device="cpu").transformers_model.embed_tokens)
        return model.words("A man sings", contrast=False)

    def replaced(*, asked_before):
        model = PromptEOL(folder, device="cpu")
        if asked_before:
            model.words("A man sings")
        model.module.transformer.model = PromptEOL(other, device="cpu").transformers_model
        return model.words("A man sings", contrast=False)

    for change in (edited, replaced):
        assert change(asked_before=True) == change(asked_before=False)


def test_words_of_a_saved_model(tiny, tmp_path):
    tied = PromptEOL(tiny("opt"), layer=-2, device="cpu")
    tied.save_pretrained(tmp_path / "tied", create_model_card=False)
    again = PromptEOL(tmp_path / "tied", device="cpu")
    now, then = (model.words("A man sings", k=3) for model in (again, tied))
    assert [word.text for word in now] == [word.text for word in then]
    assert [word.probability for word in now] == pytest.approx([word.probability for word in then], rel=1e-4)

    untied = PromptEOL(tiny("opt", tied=False), device="cpu")
    untied.save_pretrained(tmp_path / "untied", create_model_card=False)
    with pytest.raises(ModelError, match="no LM head"):
        PromptEOL(tmp_path / "untied", device="cpu").words("A man sings")


def test_words_of_an_adapter_come_from_its_bases_head(tiny, tmp_path):
    base = tiny("llama", tied=False)
    language_model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(language_model, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    words = PromptEOL(tmp_path / "adapter", device="cpu").words("A man sings", contrast=False)
    assert [word.text for word in words] == [word for word, _ in expected(base)]


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_follows_the_backbone(tiny, tied):
    model = PromptEOL(tiny("llama", tied=tied), device="cpu")
    before = [word.text for word in model.words("A man sings", k=1)]
    assert [word.text for word in model.to(torch.float64).words("A man sings", k=1)] == before


def test_words_that_are_no_numbers_are_an_error(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    with torch.no_grad():
        model.module.transformer.model.norm.weight.fill_(torch.inf)
    with pytest.raises(NonFiniteError, match="dtype"):
        model.words("A man sings")


def test_asking_for_words_changes_no_vector(tiny):
    model = PromptEOL(tiny("llama", tied=False), device="cpu")
    before = model.encode("A man sings")
    model.words("A man sings")
    assert (model.encode("A man sings") == before).all()


def test_bad_requests(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    with pytest.raises(InputError, match="k=0"):
        model.words("a", k=0)
    with pytest.raises(InputError, match="text 1 is int"):
        model.words(["a", 1])
    assert model.words([]) == []


@torch.inference_mode()
def test_a_tied_head_with_weights_of_its_own(tiny, tmp_path):
    """ModernBERT's decoder has a layer and a bias between the last state and the token embeddings."""
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    config = ModernBertDecoderConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    language_model = AutoModelForCausalLM.from_config(config).eval()
    torch.nn.init.normal_(language_model.decoder.bias, std=3.0)
    language_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert [word.text for word in PromptEOL(tmp_path, device="cpu").words("A man sings", contrast=False)] == [
        word for word, _ in expected(tmp_path)
    ]


def test_only_the_last_tokens_logits_are_computed(tiny, monkeypatch):
    model = PromptEOL(tiny("llama"), device="cpu")
    shapes = []
    linear = torch.nn.functional.linear

    def watched(states, weight, bias=None):
        shapes.append((tuple(states.shape), len(weight)))
        return linear(states, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    words = model.words(["A man sings", "A man sings.", "A much longer sentence than the other ones."], contrast=False)
    assert [shape for shape, rows in shapes if rows == len(model.tokenizer)] == [(3, 2, 32)]
    alone = model.words("A man sings", contrast=False)
    assert [word.text for word in words[0]] == [word.text for word in words[1]] == [word.text for word in alone]
    assert [word.probability for word in words[0]] == pytest.approx([word.probability for word in alone], rel=1e-4)
