"""What we save, everybody can load: a process without this package gets the same vectors, with no flag."""

import json
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from tokenizers.normalizers import Lowercase

from prompteol import TEMPLATES, PromptEOL, PromptTemplate
from prompteol.errors import ArtifactError
from prompteol.prompts import resolve_template

TEXTS = [
    "A man is playing a guitar.",
    "Why?",
    "",
    'say "hi" {{ x }} {% y %}',
    "😀 文字。",
    "</s> inside",
    "photo.png",
    "a text past the limit " * 60,
]
LIMIT = 160

STRANGER = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "prompteol":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
try:
    import prompteol
    sys.exit("prompteol can be imported")
except ModuleNotFoundError:
    pass
import numpy as np
from sentence_transformers import SentenceTransformer
texts = json.loads(sys.argv[1])
for folder in sys.argv[2:]:
    model = SentenceTransformer(folder, device="cpu")
    np.savez(folder + "/stranger.npz", plain=model.encode(texts), query=model.encode_query(texts),
             document=model.encode_document(texts), named=model.encode(texts, prompt_name="query"),
             prompted=model.encode(texts, prompt="Be kind. "))
"""


def vectors(model):
    return {
        "plain": model.encode(TEXTS),
        "query": model.encode_query(TEXTS),
        "document": model.encode_document(TEXTS),
        "named": model.encode(TEXTS, prompt_name="query"),
        "prompted": model.encode(TEXTS, prompt="Be kind. "),
    }


SETTINGS = {
    **{f"preset {name}": {"template": name} for name in TEMPLATES},
    "one demonstration": {"demonstrations": "opt-2.7b"},
    "two demonstrations": {"demonstrations": [("A horse.", "Horse"), ('She said "no" {{ }}.', "Refusal")]},
    "a layer before the last": {"layer": -2},
    "half of the depth": {"layer": 0.5},
    "plain normalization": {"template": PromptTemplate('Text: "', '" is about:"', "plain")},
    "no normalization": {"template": PromptTemplate('Text: "', '" is about:"', "none")},
}


def test_a_stranger_gets_the_same_vectors(tiny, architecture, tmp_path):
    expected = {}
    for index, options in enumerate(SETTINGS.values()):
        folder = tmp_path / str(index)
        model = PromptEOL(tiny(architecture), device="cpu", **options)
        model.max_seq_length = LIMIT
        model.save_pretrained(folder, create_model_card=False)
        expected[folder] = vectors(model)
        assert not list(folder.rglob("*.bin")) + list(folder.rglob("*.pkl")) + list(folder.rglob("*.pt"))
    done = run(
        [sys.executable, "-c", STRANGER, json.dumps(TEXTS), *map(str, expected)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for folder, ours in expected.items():
        theirs = np.load(folder / "stranger.npz")
        for kind, vector in ours.items():
            assert np.abs(theirs[kind] - vector).max() <= 1e-5 * np.abs(vector).max(), (folder, kind)


def test_saved_loaded_and_saved_again(tiny, architecture, tmp_path):
    model = PromptEOL(
        tiny(architecture), template="promptreps", demonstrations="opt-13b", layer=-2, device="cpu", prompts={"a": "A "}
    )
    model.save_pretrained(tmp_path / "once")
    again = PromptEOL(tmp_path / "once", device="cpu")
    assert (again.template, again.layer, again.prompts) == (model.template, -2, model.prompts)
    assert again.fingerprint() == model.fingerprint()
    again.save_pretrained(tmp_path / "twice")
    for name in ("prompteol.json", "modules.json", "chat_template.jinja"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes(), name
    once, twice = ((tmp_path / name / "README.md").read_text() for name in ("once", "twice"))
    assert once.replace("once", "twice") == twice.replace("once", "twice")
    assert np.allclose(PromptEOL(tmp_path / "twice", device="cpu").encode(TEXTS), model.encode(TEXTS), atol=1e-5)


def test_a_saved_pair_can_be_given_a_single_template(tiny, tmp_path):
    PromptEOL(tiny("llama"), template="promptreps", prompts={"a": "A "}).save_pretrained(tmp_path)
    single = PromptEOL(tmp_path, template="prompteol", device="cpu")
    assert single.prompts == {"query": "", "document": "", "a": "A "}
    assert np.allclose(single.encode_query("hi"), PromptEOL(tiny("llama"), device="cpu").encode("hi"), atol=1e-5)


def test_both_pooling_key_sets(tiny, tmp_path):
    PromptEOL(tiny("llama")).save_pretrained(tmp_path, create_model_card=False)
    config = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert config["pooling_mode"] == "lasttoken"
    assert {key: value for key, value in config.items() if key.startswith("pooling_mode_")} == {
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": True,
    }


def test_only_stock_classes_are_named(tiny, tmp_path):
    PromptEOL(tiny("llama")).save_pretrained(tmp_path, create_model_card=False)
    types = [module["type"] for module in json.loads((tmp_path / "modules.json").read_text())]
    assert [kind.split(".")[0] for kind in types] == ["sentence_transformers"] * 2
    assert [kind.split(".")[-1] for kind in types] == ["Transformer", "Pooling"]


def test_modules_after_the_pooling_are_kept(tiny, tmp_path):
    model = PromptEOL(tiny("opt"), device="cpu")
    torch.manual_seed(0)
    model.append(Dense(32, 8, activation_function=torch.nn.Identity()))
    model.append(Normalize())
    expected = model.encode(TEXTS)
    assert expected.shape == (len(TEXTS), 8)
    model.save_pretrained(tmp_path, create_model_card=False)
    again = PromptEOL(tmp_path, device="cpu")
    assert [type(module).__name__ for module in again] == ["PromptEOLModule", "Dense", "Normalize"]
    assert np.allclose(again.encode(TEXTS), expected, atol=1e-6)
    assert again.get_embedding_dimension() == 8


def test_a_manifest_that_contradicts_the_chat_template_shows_both(tiny, tmp_path):
    PromptEOL(tiny("llama")).save_pretrained(tmp_path, create_model_card=False)
    jinja = tmp_path / "chat_template.jinja"
    jinja.write_text(jinja.read_text().replace("means in one word", "is about"))
    with pytest.raises(ArtifactError) as raised:
        PromptEOL(tmp_path)
    assert "means in one word" in str(raised.value)
    assert "is about" in str(raised.value)
    assert PromptEOL(tmp_path, template="prompteol").encode("a").shape == (32,)


@pytest.mark.parametrize("damage", ["", "{", '{"format": 1}', '{"format": 99}', "[]", "\xff"])
def test_a_damaged_manifest_is_named(tiny, tmp_path, damage):
    PromptEOL(tiny("llama")).save_pretrained(tmp_path, create_model_card=False)
    (tmp_path / "prompteol.json").write_text(damage, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"prompteol\.json"):
        PromptEOL(tmp_path)


def test_the_card_tells_the_prompt_and_is_kept(tiny, tmp_path):
    PromptEOL(tiny("llama"), demonstrations="opt-2.7b").save_pretrained(tmp_path / "a")
    card = (tmp_path / "a" / "README.md").read_text()
    assert "A jockey riding a horse." in card
    assert 'SentenceTransformer("' in card
    assert "model trained" not in card
    (tmp_path / "a" / "README.md").write_text(card + "\nwritten by hand\n")
    PromptEOL(tmp_path / "a").save_pretrained(tmp_path / "b")
    assert "written by hand" in (tmp_path / "b" / "README.md").read_text()
    others = (
        {"template": "prompt"},
        {"truncate_dim": 8},
        {"prompts": {"a": "A "}},
        {"model_kwargs": {"dtype": "float16"}},
    )
    for number, other in enumerate(others):
        model = PromptEOL(tmp_path / "a", **other)
        model.save_pretrained(tmp_path / f"c{number}")
        card = (tmp_path / f"c{number}" / "README.md").read_text()
        assert "written by hand" not in card
        assert model.fingerprint() in card


def test_a_saved_single_template_has_the_prompts_it_had(tiny, tmp_path):
    model = PromptEOL(tiny("llama"), template="promptreps", demonstrations=[("A cat.", "pet")], device="cpu")
    model.set_template(resolve_template("pretended-cot"))
    model.save_pretrained(tmp_path)
    again = PromptEOL(tmp_path, device="cpu")
    assert again.prompts == model.prompts == {"query": "", "document": ""}
    assert again.fingerprint() == model.fingerprint()
    assert model.provenance == {"template": "given"}


def test_the_fingerprint_sees_how_the_same_weights_are_read(tiny):
    folder = tiny("llama")
    plain = PromptEOL(folder, device="cpu")
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    stretched = PromptEOL(folder, device="cpu", config_kwargs={"rope_parameters": rope})
    lowered = PromptEOL(folder, device="cpu")
    lowered.tokenizer.backend_tokenizer.normalizer = Lowercase()
    for other in (stretched, lowered):
        assert np.abs(other.encode("A Man sings.") - plain.encode("A Man sings.")).max() > 1e-3
        assert other.fingerprint() != plain.fingerprint()


def test_the_fingerprint_sees_what_changes_vectors_and_nothing_else(tiny):
    folder = tiny("llama")
    same = PromptEOL(folder, device="cpu").fingerprint()
    assert PromptEOL(folder, engine="stock", device="cpu").fingerprint() == same
    others = [
        PromptEOL(folder, demonstrations="opt-13b").fingerprint(),
        PromptEOL(folder, layer=-2).fingerprint(),
        PromptEOL(folder, template="prompt").fingerprint(),
        PromptEOL(folder, template=PromptTemplate('This sentence : "', '" means in one word:"', "plain")).fingerprint(),
        PromptEOL(folder, truncate_dim=8).fingerprint(),
        PromptEOL(folder, model_kwargs={"dtype": torch.bfloat16}).fingerprint(),
        PromptEOL(tiny("llama", seed=1)).fingerprint(),
    ]
    assert len({same, *others}) == len(others) + 1


def test_a_save_that_is_killed_leaves_no_artifact(tiny, tmp_path):
    """prompteol.json comes last, so a folder without it was never finished."""
    folder = tmp_path / "killed"
    code = (
        "import os, sys; from pathlib import Path; from prompteol import PromptEOL\n"
        "from prompteol.saving import Manifest\n"
        "Manifest.write = lambda self, folder: os._exit(9)\n"
        f"PromptEOL({tiny('llama')!r}).save_pretrained({str(folder)!r}, create_model_card=False)"
    )
    assert run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 9
    assert (folder / "model.safetensors").exists()
    assert not (folder / "prompteol.json").exists()
    with pytest.raises(Exception, match="no PromptEOL artifact"):
        PromptEOL(folder)


def test_what_was_done_to_the_tokenizer_is_undone_in_what_is_saved(tiny, tmp_path):
    model = PromptEOL(tiny("opt"), demonstrations="opt-2.7b", device="cpu")
    model.max_seq_length = LIMIT
    model.tokenizer.truncation_side = model.tokenizer.padding_side = "left"
    model.tokenizer.chat_template = "{{ messages }}"
    expected = model.encode(TEXTS)
    model.save_pretrained(tmp_path, create_model_card=False)
    stock = SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(stock, expected, atol=1e-5 * np.abs(expected).max())


def test_a_path_may_be_a_string_or_a_path(tiny, tmp_path):
    model = PromptEOL(Path(tiny("llama")))
    model.save(str(tmp_path / "text"), create_model_card=False)
    assert PromptEOL(str(tmp_path / "text")).layer == -1


def test_another_template_says_nothing_of_the_old_demonstrations(tiny, tmp_path):
    PromptEOL(tiny("llama"), demonstrations="opt-2.7b", device="cpu").save_pretrained(tmp_path / "saved")
    again = PromptEOL(tmp_path / "saved", template="prompteol", device="cpu")
    assert not again.template.demonstrations
    assert "demonstrations" not in again.provenance
