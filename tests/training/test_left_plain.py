"""A model that was trained is the one that its folder holds: training leaves nothing on it."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformerTrainingArguments

from prompteol import PromptEOL
from prompteol.compat import checkpoints_activations
from prompteol.errors import TrainingError
from prompteol.training import Lora, train

# transformers renames gradient checkpointing, and sentence-transformers has the old name alone.
pytestmark = pytest.mark.filterwarnings("ignore:.*v6:FutureWarning")
LORA = Lora(rank=4, quantize=False)
# transformers 5.23 deprecates the second name.
NAMES = {field.name for field in fields(SentenceTransformerTrainingArguments)}
RECOMPUTED = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in NAMES)


def score(model, pairs):
    cosine = model.similarity_pairwise(model.encode(pairs.first), model.encode(pairs.second))
    return 100 * spearmanr(cosine.numpy(), pairs.scores).statistic


@pytest.mark.parametrize("lora", [None, LORA])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"bf16": True},
        {"bf16": True, RECOMPUTED: True},
        {RECOMPUTED: True},
    ],
)
def test_the_returned_model_is_the_saved_one_and_so_is_the_score(tiny, tmp_path, triplets, dev, quick, arguments, lora):
    recipe = replace(quick, lora=lora)
    done = train(tiny("llama"), tmp_path / "out", triplets, recipe, dev=dev, arguments=arguments, device="cpu")
    saved = PromptEOL(done.output, device="cpu")
    np.testing.assert_allclose(done.model.encode(dev.first), saved.encode(dev.first), atol=1e-6)
    assert done.kept.score == pytest.approx(score(saved, dev), abs=1e-6)
    backbone = done.model.module.transformer.model
    assert "forward" not in vars(done.model)
    assert not done.model.training
    assert not checkpoints_activations(backbone)
    assert backbone.config.use_cache == saved.module.transformer.model.config.use_cache


def test_a_model_is_trained_a_second_time_as_the_first(tiny, tmp_path, triplets, quick):
    """In bfloat16, in which accelerate prepares no model twice."""
    half = {"bf16": True}
    losses = []
    for model in (PromptEOL(tiny("llama"), device="cpu"), tiny("llama")):
        recipe = replace(quick, lora=None, learning_rate=1e-12)
        for again in range(2):
            done = train(model, tmp_path / f"{len(losses)}-{again}", triplets, recipe, arguments=half, device="cpu")
        losses.append([point.loss for point in done.curve])
    assert losses[0] == losses[1]


def test_a_training_that_fails_leaves_the_model_plain_too(tiny, tmp_path, triplets, quick):
    model = PromptEOL(tiny("llama"), device="cpu")
    recipe = replace(quick, lora=None, learning_rate=1e20)
    with pytest.raises(TrainingError, match="step"):
        train(model, tmp_path / "out", triplets, recipe, arguments={"bf16": True, RECOMPUTED: True})
    assert "forward" not in vars(model)
    assert not model.training
    assert not checkpoints_activations(model.module.transformer.model)


def test_weights_are_loaded_into_a_trained_model_as_into_any(tiny, tmp_path, triplets, quick):
    """While training goes on from a checkpoint, frozen weights stay as they are; not ever after."""
    model = train(tiny("llama"), tmp_path / "out", triplets, quick, device="cpu").model
    doubled = {name: 2 * weight for name, weight in model.state_dict().items()}
    model.load_state_dict(doubled)
    for name, weight in model.state_dict().items():
        assert (weight == doubled[name]).all(), name
