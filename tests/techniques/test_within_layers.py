"""Techniques that look within layers: against hooks on a plain transformers model, one prompt at a time."""

import numpy as np
import pytest
import torch

from plain_hooks import Plain
from prompteol import PromptEOL

SHOWN = ("A jockey riding a horse.", "Equestrian")
ASKED, AGAIN = "Rewrite the following sentence: ", "\nThe rewritten sentence:"


def eol(text, before="This"):
    return f'{before} sentence : "{text}." means in one word:"'


def shown(demonstrations):
    return eol("A jockey riding a horse") + 'Equestrian".' if demonstrations else ""


def token_prepending(plain, text, layer, head):
    before = plain.ids(f"{head}This sentence :")
    ids = plain.ids(head + eol(text))
    assert ids[: len(before)] == before
    ids.insert(len(before), plain.pad)

    def prepend(module, arguments):
        states = arguments[0].clone()
        states[:, len(before)] = states[:, -1]
        return states, *arguments[1:]

    with plain.hooks((plain.layers[1], "pre", prepend), (plain.layers[2], "pre", prepend)):
        return plain.states(ids, layer)[-1]


def contrastive_prompting(form):
    def embed(plain, text, layer, head):
        seen = []
        projection = plain.projection(1)
        with plain.hooks((projection, "pre", lambda module, arguments: seen.append(arguments[0][:, -1:].clone()))):
            plain.states(plain.ids(eol(text, "The irrelevant information of this")), layer)

        def steer(module, arguments):
            states = arguments[0].clone()
            own = states[:, -1:]
            away = own - seen[0]
            states[:, -1:] = 3 * away if form == "NS" else away * own.norm() / away.norm()
            return (states,)

        with plain.hooks((projection, "pre", steer)):
            return plain.states(plain.ids(head + eol(text)), layer)[-1]

    return embed


def echo(plain, text, layer, head):
    sentence = SHOWN[0]
    head = f"{ASKED}{sentence}{AGAIN} {sentence}\n" if head else ""
    first = plain.ids(f"{head}{ASKED}{text}.{AGAIN}")
    whole = plain.ids(f"{head}{ASKED}{text}.{AGAIN} {text}.")
    assert whole[: len(first)] == first
    return plain.states(whole, layer)[len(first) :].mean(0)


def aligned_wva(plain, text, layer, head):
    watched = plain.layers[1 : len(plain.layers) + 1 + layer]
    with plain.seeing(map(plain.attention, watched)) as seen:
        plain.states(plain.ids(head + eol(text)), layer)
    return torch.stack([output[0][0, -1] for output in seen]).mean(0)


def kv_embedding(plain, text, layer, head):
    head = f'"{SHOWN[0]}" Compress the Context in one word: {SHOWN[1]}. ' if head else ""
    with plain.attention_function(lambda index: 0.5 if index in (1, 2) else None):
        states = plain.states(plain.ids(f'{head}"{text}." Compress the Context in one word:'), layer)
    return torch.nn.functional.normalize((states[-1] + states.mean(0)) / 2, dim=0)


CASES = {
    "token-prepending:start=1,stop=3": token_prepending,
    "contrastive-prompting:layer=1,strength=3": contrastive_prompting("NS"),
    "contrastive-prompting:layer=1,form=NR": contrastive_prompting("NR"),
    "echo": echo,
    "aligned-wva:start=1": aligned_wva,
    "kv-embedding:start=1,stop=3,bias=0.5": kv_embedding,
}


@pytest.mark.parametrize(("demonstrations", "layer"), [(None, -1), ("opt-2.7b", -2)])
@pytest.mark.parametrize("technique", CASES)
def test_hooks_on_a_plain_model_give_the_same(tiny, architecture, technique, demonstrations, layer, texts, close):
    folder, texts = tiny(architecture), [*texts[:5], "(a dog)", "what"]
    plain = Plain(folder, architecture)
    with torch.inference_mode():
        found = [CASES[technique](plain, text, layer, shown(demonstrations)) for text in texts]
        expected = torch.stack(found).numpy()
    options = {"demonstrations": demonstrations, "layer": layer, "device": "cpu"}
    model = PromptEOL(folder, technique=technique, **options)
    packed = model.encode(texts)
    assert close(packed, expected)
    assert close(model.encode(texts, engine="stock"), expected)
    assert close(np.stack([model.encode(text) for text in texts]), expected)
    assert model.module._shared_prefix_engine().counters.stock_tokens == 0
    plain_vectors = PromptEOL(folder, **options).encode(texts)
    assert not close(plain_vectors, expected)
    # Nothing of it is left on the backbone.
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
