"""A saved model runs through MTEB as it is, and its results are filed under its name and revision."""

import json

import datasets
import pytest
from sentence_transformers import SentenceTransformer

from prompteol import PromptEOL, fingerprint
from prompteol.evaluation import SentEvalFolder, load_benchmark
from prompteol.evaluation.scoring import score_sts
from prompteol.prompts import resolve_template

mteb = pytest.importorskip("mteb")


@pytest.fixture
def task(whole_senteval):
    """The folder's STS-B as an MTEB task that needs no network."""
    from mteb.abstasks import AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata

    pairs = load_benchmark(SentEvalFolder(whole_senteval), ["sts-b"]).tasks["STS-B"].subsets[0]

    class OfflineSTS(AbsTaskSTS):
        min_score = 0
        max_score = 5
        metadata = TaskMetadata(
            name="OfflineSTS",
            description="Thirty pairs.",
            dataset={"path": "none", "revision": "1"},
            type="STS",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="cosine_spearman",
        )

        def load_data(self, *_, **__):
            rows = {"sentence1": pairs.first, "sentence2": pairs.second, "score": pairs.gold}
            self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows)})
            self.data_loaded = True

    return OfflineSTS()


# MTEB's own deprecations are not ours to fail on.
pytestmark = pytest.mark.filterwarnings("ignore:::mteb")


def run(model, task, cache):
    results = mteb.evaluate(model, task, cache=mteb.ResultCache(cache), show_progress_bar=False)
    (file,) = cache.rglob("OfflineSTS.json")
    return results, file


@pytest.fixture
def saved(tiny, tmp_path):
    PromptEOL(tiny("llama"), device="cpu").save_pretrained(str(tmp_path / "my-model"))
    return str(tmp_path / "my-model")


@pytest.mark.parametrize("kind", [PromptEOL, SentenceTransformer])
def test_results_are_filed_under_name_and_revision(kind, task, saved, tmp_path):
    model = kind(saved, device="cpu")
    model.model_card_data.model_name = "me/my-model"
    model.model_card_data.base_model_revision = fingerprint(model)[:12]
    results, file = run(model, task, tmp_path / "cache")
    assert (results.model_name, results.model_revision) == ("me/my-model", fingerprint(model)[:12])
    assert file.parts[-3:] == ("me__my-model", fingerprint(model)[:12], "OfflineSTS.json")


def test_a_name_of_its_own_and_our_score(task, saved, tmp_path, whole_senteval):
    model = PromptEOL(saved, device="cpu")
    results, file = run(model, task, tmp_path / "cache")
    assert results.model_name.endswith("/my-model")
    assert results.model_revision == fingerprint(model)[:12]
    data = load_benchmark(SentEvalFolder(whole_senteval), ["sts-b"]).tasks["STS-B"]
    ours, _ = score_sts(data, model.encode)
    filed = json.loads(file.read_text())["scores"]["test"][0]["main_score"]
    assert 100 * filed == pytest.approx(ours, abs=0.5)


def other_prompt(saved):
    model = PromptEOL(saved, device="cpu")
    model.set_template(resolve_template("pretended-cot"))
    return model


OTHERS = {
    "dimension": lambda saved: PromptEOL(saved, device="cpu", truncate_dim=3),
    "prompts": lambda saved: PromptEOL(saved, device="cpu", prompts={"x": "Two cats: "}, default_prompt_name="x"),
    "dtype": lambda saved: PromptEOL(saved, device="cpu", model_kwargs={"dtype": "bfloat16"}),
    "layer": lambda saved: PromptEOL(saved, device="cpu", layer=-2),
    "tokenizer": lambda saved: PromptEOL(saved, device="cpu", processor_kwargs={"model_max_length": 64}),
    "prompt": other_prompt,
    "training": lambda saved: PromptEOL(saved, device="cpu").train(),
}


@pytest.mark.parametrize("load", OTHERS.values(), ids=OTHERS)
def test_other_settings_are_not_filed_as_the_saved_model(load, saved):
    assert load(saved).model_card_data.base_model_revision is None


@pytest.mark.parametrize(
    "same", [{"engine": "stock"}, {"prompts": {}}, {"model_kwargs": {"dtype": "float32"}}, {"truncate_dim": None}]
)
def test_the_saved_settings_said_again_change_no_revision(same, saved):
    model = PromptEOL(saved, device="cpu", **same)
    assert model.model_card_data.base_model_revision == fingerprint(model)[:12]


def test_weights_of_another_dtype_than_the_saved_ones_are_another_revision(tiny, tmp_path):
    half = {"model_kwargs": {"dtype": "bfloat16"}}
    PromptEOL(tiny("llama"), device="cpu", **half).save_pretrained(str(tmp_path / "half"))
    model = PromptEOL(str(tmp_path / "half"), device="cpu", **half)
    assert model.model_card_data.base_model_revision == fingerprint(model)[:12]
    # Without a dtype a CPU computes in fp32.
    assert PromptEOL(str(tmp_path / "half"), device="cpu").model_card_data.base_model_revision is None


def test_a_cached_score_is_not_that_of_other_settings(task, saved, tmp_path):
    whole, _ = run(PromptEOL(saved, device="cpu"), task, tmp_path)
    cut = mteb.evaluate(
        OTHERS["dimension"](saved), task, cache=mteb.ResultCache(tmp_path), show_progress_bar=False
    )  # fmt: skip
    assert cut.model_revision == "no_revision_available"
    assert cut.task_results[0].scores["test"][0]["main_score"] != whole.task_results[0].scores["test"][0]["main_score"]
