"""Fifty features of a SentenceTransformer, by name: each gives on an accelerated model what it gives on stock."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer import evaluation
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

import prompteol
from acceleration.conftest import INSTRUCTION, TEXTS, assert_same, build_embedder

QUERIES, LABELS = TEXTS[:3], [0, 1] * 3


def evaluated(make):
    def run(model, folder):
        return np.array(sorted(make()(model).values()), dtype=float)

    return run


def trained(model, folder):
    """Do one step with sentence-transformers' loss, by hand."""
    features = [model.preprocess(texts) for texts in (TEXTS[:4], TEXTS[4:8])]
    CosineSimilarityLoss(model)(features, torch.tensor([0.1, 0.9, 0.5, 0.3])).backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    return model.encode(TEXTS)


def saved(model, folder):
    model.save(str(folder))
    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


def added(make):
    def run(model, folder):
        model.append(make())
        return model.encode(TEXTS)

    return run


def dense():
    torch.manual_seed(0)
    return Dense(32, 8)


def attribute(name, value):
    def run(model, folder):
        setattr(model, name, value)
        return model.encode(TEXTS)

    return run


def truncated(model, folder):
    with model.truncate_embeddings(6):
        return model.encode(TEXTS)


def other_similarity(model, folder):
    model.similarity_fn_name = "manhattan"
    return model.similarity(model.encode(TEXTS), model.encode(TEXTS))


def popped(model, folder):
    model.append(Normalize())
    model.pop(2)
    return model.encode(TEXTS)


def hooked(model, folder):
    seen = []
    handle = model[1].register_forward_hook(lambda *_: seen.append(1))
    vectors = model.encode(TEXTS)
    handle.remove()
    assert seen
    return vectors


def adapted(model, folder):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    model.add_adapter(peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    return model.encode(TEXTS)


def pooled(model, folder):
    pool = model.start_multi_process_pool(["cpu"])
    try:
        return model.encode(TEXTS, pool=pool, chunk_size=4)
    finally:
        model.stop_multi_process_pool(pool)


def set_weights(model, folder):
    model.load_state_dict({name: weight * 1.01 for name, weight in model.state_dict().items()})
    return model.encode(TEXTS)


def ranks(hits):
    return np.array([[hit["corpus_id"] for hit in found] for found in hits])


def encoding(**kwargs):
    return lambda model, folder: model.encode(TEXTS, **kwargs)


FEATURES = {
    "batch_size": encoding(batch_size=2),
    "convert_to_numpy": encoding(convert_to_numpy=False),
    "convert_to_tensor": encoding(convert_to_tensor=True),
    "normalize_embeddings": encoding(normalize_embeddings=True),
    "output_value=token_embeddings": lambda model, _: torch.cat(model.encode(TEXTS, output_value="token_embeddings")),
    "precision": encoding(precision="float32"),
    "prompt": encoding(prompt=INSTRUCTION),
    "prompt_name": encoding(prompt_name="query"),
    "show_progress_bar": encoding(show_progress_bar=True),
    "truncate_dim": encoding(truncate_dim=5),
    "truncate_embeddings": truncated,
    "default_prompt_name": attribute("default_prompt_name", "query"),
    "prompts": attribute("prompts", {"query": INSTRUCTION, "document": "passage: "}),
    "max_seq_length": attribute("max_seq_length", 7),
    "encode_query": lambda model, _: model.encode_query(TEXTS),
    "encode_document": lambda model, _: model.encode_document(TEXTS),
    "one text": lambda model, _: model.encode(TEXTS[0]),
    "similarity": lambda model, _: model.similarity(model.encode(TEXTS), model.encode(TEXTS)),
    "similarity_pairwise": lambda model, _: model.similarity_pairwise(model.encode(TEXTS), model.encode(TEXTS[::-1])),
    "similarity_fn_name": other_similarity,
    "semantic_search": lambda model, _: ranks(util.semantic_search(model.encode(QUERIES), model.encode(TEXTS[:7]))),
    "paraphrase_mining": lambda model, _: np.array(util.paraphrase_mining(model, TEXTS[:7]))[:, 0],
    "community_detection": lambda model, _: len(util.community_detection(model.encode(TEXTS), 0.99, 1)),
    "EmbeddingSimilarityEvaluator": evaluated(
        lambda: evaluation.EmbeddingSimilarityEvaluator(TEXTS[:6], TEXTS[2:8], [0.1, 0.4, 0.3, 0.9, 0.5, 0.2])
    ),
    "BinaryClassificationEvaluator": evaluated(
        lambda: evaluation.BinaryClassificationEvaluator(TEXTS[:6], TEXTS[2:8], LABELS)
    ),
    "TripletEvaluator": evaluated(lambda: evaluation.TripletEvaluator(TEXTS[:3], TEXTS[3:6], TEXTS[6:9])),
    "InformationRetrievalEvaluator": evaluated(
        lambda: evaluation.InformationRetrievalEvaluator(
            {"q": TEXTS[0]}, {str(place): text for place, text in enumerate(TEXTS[:7])}, {"q": {"0", "2"}}
        )
    ),
    "RerankingEvaluator": evaluated(
        lambda: evaluation.RerankingEvaluator(
            [{"query": TEXTS[0], "positive": [TEXTS[2]], "negative": [TEXTS[3], TEXTS[4]]}]
        )
    ),
    "forward": lambda model, _: model(model.preprocess(TEXTS))["sentence_embedding"].detach(),
    "training": trained,
    "train and eval": lambda model, _: model.train().eval().encode(TEXTS),
    "requires_grad_": lambda model, _: model.requires_grad_(False).encode(TEXTS),
    "gradient_checkpointing_enable": lambda model, _: model.gradient_checkpointing_enable() or model.encode(TEXTS),
    "to": lambda model, _: model.to("cpu").encode(TEXTS),
    "double": lambda model, _: model.double().encode(TEXTS),
    "compile": lambda model, _: model.compile(backend="eager", dynamic=True) or model.encode(TEXTS),
    "register_forward_hook": hooked,
    "append": added(Normalize),
    "append Dense": added(dense),
    "pop": popped,
    "add_adapter": adapted,
    "load_state_dict": set_weights,
    "deepcopy": lambda model, _: copy.deepcopy(model).encode(TEXTS),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)).encode(TEXTS),
    "save and load": saved,
    "multi-process pool": pooled,
    "tokenize": lambda model, _: model.tokenize(TEXTS)["input_ids"],
    "preprocess": lambda model, _: model.preprocess(TEXTS, prompt=INSTRUCTION)["input_ids"],
    "get_embedding_dimension": lambda model, _: model.get_embedding_dimension(),
    "device and dtype": lambda model, _: np.array([str(model.device), str(model.dtype)]) == ["cpu", "torch.float32"],
}


@pytest.fixture(scope="module")
def built():
    return build_embedder()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("run", FEATURES.values(), ids=FEATURES)
def test_a_feature_gives_what_stock_gives(run, built, tmp_path):
    stock, fast = copy.deepcopy(built), prompteol.accelerate(copy.deepcopy(built))
    ours, expected = (run(model, tmp_path / name) for name, model in (("fast", fast), ("stock", stock)))
    assert type(ours) is type(expected)
    assert_same(array(ours), array(expected))


def array(value):
    if isinstance(value, list):
        value = torch.stack(value)
    return np.asarray(value.float() if isinstance(value, torch.Tensor) else value, dtype=float)
