"""Prompt ensembles: against one plain forward a prompt, packed and not, with demonstrations, saved and loaded."""

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from prompteol import TEMPLATES, PromptEOL, PromptTemplate, fit_readout
from prompteol.errors import ArtifactError, InputError, SettingError, TemplateError, TuningError
from prompteol.techniques import MetaEOL, PromptEnsemble, registry
from prompteol.techniques.ensembles import METAEOL
from prompteol.tuning import tune_prompt

NAMED = ("pretended-cot", "knowledge-enhancement")
ENSEMBLES = {"metaeol": METAEOL, "prompt-ensemble": tuple(str(TEMPLATES[name]) for name in NAMED)}


def filled(wording, text, shown=False):
    head = wording.replace("{text}", "A jockey riding a horse.") + 'Equestrian".' if shown else ""
    return head + wording.replace("{text}", text + ".")


@pytest.mark.parametrize("demonstrations", [None, "opt-2.7b"])
@pytest.mark.parametrize("technique", ENSEMBLES)
def test_it_is_the_mean_of_the_prompts_states(
    tiny, architecture, technique, demonstrations, texts, plain_states, close
):
    folder, texts = tiny(architecture, max_position_embeddings=1024, n_positions=1024), texts[:6]
    wordings = ENSEMBLES[technique]
    expected = np.mean(
        [plain_states(folder, [filled(one, text, bool(demonstrations)) for text in texts], -2) for one in wordings], 0
    )
    options = {"demonstrations": demonstrations, "processor_kwargs": {"model_max_length": 1024}}
    model = PromptEOL(folder, technique=technique, layer=-2, device="cpu", **options)
    packed = model.encode(texts)
    assert close(packed, expected)
    assert close(model.encode(texts, engine="stock"), expected)
    assert close(np.stack([model.encode(text) for text in texts]), expected)
    counters = model.module._shared_prefix_engine().counters
    assert counters.stock_tokens == 0
    assert counters.prefix_tokens > 0


def test_saved_and_loaded(tiny, tmp_path, texts, close):
    model = PromptEOL(tiny("opt"), technique="prompt-ensemble", demonstrations="opt-2.7b", layer=-2, device="cpu")
    fit_readout(model, texts)
    expected = model.encode(texts)
    model.save_pretrained(tmp_path)
    kinds = [part["type"].split(".")[-1] for part in json.loads((tmp_path / "modules.json").read_text())]
    assert kinds == ["TechniqueModule", "Dense"]
    again = PromptEOL(tmp_path, device="cpu")
    assert close(again.encode(texts), expected)
    assert (again.technique, again.layer, again.template) == (model.technique, -2, model.template)
    assert again.fingerprint() == model.fingerprint()
    again.save_pretrained(tmp_path / "again")
    assert close(PromptEOL(tmp_path / "again", device="cpu").encode(texts), expected)
    plain = PromptEOL(tmp_path, technique=(), device="cpu")
    assert plain.technique is None
    assert plain.fingerprint() != model.fingerprint()


def test_plain_sentence_transformers_refuses_it_or_gives_the_same(tiny, tmp_path, texts, close):
    model = PromptEOL(tiny("llama"), technique="prompt-ensemble", truncate_dim=7, prompts={"a": "A "}, device="cpu")
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        SentenceTransformer(str(tmp_path))
    trusted = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    again = PromptEOL(tmp_path, device="cpu")
    for loaded in (trusted, again):
        assert loaded.prompts["a"] == "A "
        assert close(loaded.encode(texts, prompt_name="a"), model.encode(texts, prompt_name="a"))
    card = (tmp_path / "README.md").read_text()
    assert "This model needs the package `prompteol`" in card
    assert "without further code" not in card


def test_a_foreign_module_behind_it_is_refused(tiny, tmp_path):
    PromptEOL(tiny("llama"), technique="prompt-ensemble", device="cpu").save_pretrained(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules.append({"idx": 1, "name": "1", "path": "1_Evil", "type": "os.path.Evil"})
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ArtifactError, match=r"os\.path\.Evil"):
        PromptEOL(tmp_path, device="cpu")


def test_settings_reach_every_prompt(tiny, texts, close):
    folder = tiny("llama")
    model = PromptEOL(folder, technique="prompt-ensemble", device="cpu")
    model.set_template(normalization="none", demonstrations=[("A horse.", "Horse")], layer=-2)
    singles = [
        PromptEOL(folder, template=str(TEMPLATES[name]), normalization="none", layer=-2, device="cpu") for name in NAMED
    ]
    for single in singles:
        single.set_template(demonstrations=[("A horse.", "Horse")])
    assert model.technique == PromptEnsemble()
    expected = np.mean([single.encode(texts) for single in singles], 0)
    assert close(model.encode(texts), expected)
    model.tokenizer = singles[0].tokenizer
    assert close(model.encode(texts), expected)
    assert str(model.tokenizer.chat_template) == model.module.prompter.chat_template


def test_words_are_those_of_the_models_own_template(tiny):
    folder = tiny("llama")
    plain, ensemble = (PromptEOL(folder, technique=technique, device="cpu") for technique in ((), "metaeol"))
    assert ensemble.words("A storm floods the town.") == plain.words("A storm floods the town.")


def test_a_pair_of_templates_stays_a_pair(tiny, texts, close):
    model = PromptEOL(tiny("llama"), template="promptreps", technique="prompt-ensemble", device="cpu")
    assert close(model.encode_query(texts), model.encode_document(texts))


def test_gradients_and_other_outputs(tiny, texts):
    model = PromptEOL(tiny("llama"), technique="prompt-ensemble", device="cpu")
    features = model.preprocess(texts[:3])
    vectors = model(features)["sentence_embedding"]
    vectors.sum().backward()
    assert vectors.shape == (3, 32)
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if "q_proj" in name)
    with pytest.raises(SettingError, match="no tokens of one prompt"):
        model.encode(texts, output_value="token_embeddings")
    with pytest.raises(TuningError, match="technique=\\(\\)"):
        tune_prompt(model, texts)


@pytest.mark.parametrize(
    ("technique", "error", "match"),
    [
        ("prompt-ensemble:wordings=prompteol", SettingError, "two or more different"),
        ("prompt-ensemble:wordings=prompteol+prompteol", SettingError, "two or more different"),
        ("prompt-ensemble:wordings=prompteol+promptreps", SettingError, "pair of templates"),
        ("prompt-ensemble:wordings=prompteol+nothing", TemplateError, "no slot"),
        (["metaeol", "prompt-ensemble"], SettingError, "do not combine"),
        ("whitening", SettingError, "fit_readout"),
        ("meta", SettingError, "none of"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_loads(technique, error, match):
    with pytest.raises(error, match=match):
        PromptEOL("no/such/model", technique=technique)


def test_wordings_may_be_anything_with_a_slot():
    given = PromptEnsemble(["prompteol", 'A word for "{text}" is:"'])
    assert given.templates(PromptTemplate("", " x", "none")) == [
        PromptTemplate('This sentence : "', '" means in one word:"', "none"),
        PromptTemplate('A word for "', '" is:"', "none"),
    ]
    assert len(MetaEOL().templates(TEMPLATES["prompteol"])) == 8


def test_no_text_is_an_error_or_nothing(tiny):
    model = PromptEOL(tiny("llama"), technique="metaeol", device="cpu")
    assert model.encode([]).shape[0] == 0
    with pytest.raises(InputError):
        model.encode([3])


def test_the_technique_of_a_saved_model_must_be_registered(tiny, tmp_path, own_registry):
    PromptEOL(tiny("llama"), technique="metaeol", device="cpu").save_pretrained(tmp_path)
    del registry._techniques["metaeol"]
    with pytest.raises(SettingError, match="import what registers it"):
        PromptEOL(tmp_path, device="cpu")
