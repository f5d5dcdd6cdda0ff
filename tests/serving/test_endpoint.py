"""An adapter's vectors come from a server, its prompt, fingerprint and index safety from here."""

import pickle
from importlib import import_module

import numpy as np
import pytest

from prompteol import PromptEOL, TextEmbedder
from prompteol.embedder import EmbeddingServer, ServedModel, ServerEmbedder
from prompteol.errors import IndexMismatchError, ServerError, SettingError
from serving_backend import Backend

TEXTS = [
    "a guitar",
    "Who is the president?",
    "",
    'two "dogs"\nin the snow',
    "a guitar",
    "the cat sat on the mat. " * 30,
]
pytestmark = pytest.mark.filterwarnings("ignore::prompteol.embedder.LongTextWarning")


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A saved model with a prompt of its own for queries, and a length limit of its own."""
    made = {}

    def save(architecture="llama"):
        if architecture not in made:
            made[architecture] = str(tmp_path_factory.mktemp("endpoint") / architecture)
            model = PromptEOL(tiny(architecture), prompts={"query": "Find: "}, device="cpu")
            model.max_seq_length = 64
            model.save(made[architecture])
        return made[architecture]

    return save


@pytest.fixture
def pair(folder, serve):
    """The embedder over a server, and the one over the weights."""

    def make(architecture="llama", **options):
        url = serve(Backend(folder(architecture), "prompt lost"))
        served = ServerEmbedder(ServedModel(folder(architecture), EmbeddingServer(url)), **options)
        return served, TextEmbedder(PromptEOL(folder(architecture), device="cpu"), **options)

    return make


@pytest.mark.parametrize("architecture", ["llama", "opt", "gpt2", "qwen2"])
@pytest.mark.parametrize("task", ["query", "document"])
def test_vectors_are_the_local_ones(pair, architecture, task):
    served, local = pair(architecture, batch_size=4)
    np.testing.assert_allclose(served.embed(TEXTS, task), local.embed(TEXTS, task), atol=4e-6)
    assert served.embed([], task) == []


@pytest.mark.parametrize("options", [{}, {"truncate_dim": 8}, {"prompts": {"query": "Q: "}}])
def test_the_fingerprint_and_the_vectors_hold_for_every_setting(pair, tmp_path, options):
    served, local = pair(**options)
    assert (served.fingerprint, served.dimension) == (local.fingerprint, local.dimension)
    np.testing.assert_allclose(served.embed(TEXTS, "query"), local.embed(TEXTS, "query"), atol=4e-6)
    local.for_index(tmp_path / "index")
    (tmp_path / "index" / "data").write_text("vectors")
    served.for_index(tmp_path / "index")
    with pytest.raises(IndexMismatchError):
        pair(truncate_dim=4)[0].for_index(tmp_path / "index")


async def test_async_equals_sync(pair):
    served, _ = pair()
    assert await served.aembed(TEXTS, "query") == served.embed(TEXTS, "query")


def test_no_weights_are_read(pair, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("weights were read")

    served, _ = pair()
    monkeypatch.setattr("transformers.modeling_utils.PreTrainedModel.from_pretrained", refuse)
    again = ServedModel(served.model.name, served.model.server)
    assert ServerEmbedder(again).embed(TEXTS, "document") == served.embed(TEXTS, "document")


def test_what_a_server_cannot_do_is_refused(pair, tiny):
    served, _ = pair()
    for options in ({"normalize": False}, {"encode_kwargs": {"precision": "binary"}}):
        with pytest.raises(SettingError, match="a server does not take it"):
            ServerEmbedder(served.model, **options)
    base = ServerEmbedder(ServedModel(tiny("llama"), served.model.server))
    with pytest.raises(SettingError, match="holds no fingerprint"):
        base.fingerprint  # noqa: B018
    with pytest.raises(SettingError, match="truncate_dim=99"):
        ServerEmbedder(served.model, truncate_dim=99).embed(["a"], "query")


def test_options_of_encode_hold(pair):
    with pytest.raises(SettingError, match="no prompt is named 'qurey'"):
        pair(encode_kwargs={"prompt_name": "qurey"})
    served, _ = pair(encode_kwargs={"batch_size": 2})
    served.model.server.embed = lambda rows, embed=served.model.server.embed: sizes.append(len(rows)) or embed(rows)
    sizes = []
    served.embed(["a", "b", "c"], "query")
    assert sizes == [2, 1]
    with pytest.raises(SettingError, match="not a SentenceTransformer"):
        TextEmbedder(served.model)


def test_an_argument_for_local_weights_is_refused(folder):
    with pytest.raises(SettingError, match="device='cpu' is for local weights: leave out the endpoint"):
        ServedModel(folder(), EmbeddingServer("http://127.0.0.1:9"), device="cpu")


@pytest.mark.parametrize("size", [16, 64])
def test_a_server_of_another_model_is_an_error(pair, tiny, size):
    served, _ = pair()
    wrong = ServerEmbedder(ServedModel(tiny("llama", hidden_size=size), served.model.server))
    with pytest.raises(ServerError, match="answered vectors of 32 dimensions"):
        wrong.embed(["a"], "query")


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
async def test_adapters_ask_the_server(folder, serve, framework, monkeypatch, tmp_path):
    monkeypatch.setenv("PROMPTEOL_API_KEY", "sk-secret")
    backend = Backend(folder(), "prompt lost")
    backend.key = "sk-secret"
    url = serve(backend)
    if framework == "langchain":
        pytest.importorskip("langchain_core")
        adapter = import_module("langchain_prompteol").PromptEOLEmbeddings
        names = ("embed_query", "embed_documents")
    else:
        pytest.importorskip("llama_index.core")
        adapter = import_module("llama_index.embeddings.prompteol").PromptEOLEmbedding
        names = ("get_query_embedding", "get_text_embedding_batch")
    served, local = adapter(model_name=folder(), endpoint=url), adapter(model_name=folder())
    for name, given in zip(names, (TEXTS[1], TEXTS), strict=True):
        expected = getattr(local, name)(given)
        np.testing.assert_allclose(getattr(served, name)(given), expected, atol=4e-6)
        np.testing.assert_allclose(await getattr(served, f"a{name}")(given), expected, atol=4e-6)
    assert served.fingerprint == local.fingerprint
    np.testing.assert_allclose(
        getattr(pickle.loads(pickle.dumps(served)), names[0])("a"), getattr(local, names[0])("a"), atol=4e-6
    )
    assert b"sk-secret" not in pickle.dumps(served)
    assert "sk-secret" not in f"{served!r} {served.model_dump()}"
    local.for_index(tmp_path / "index")
    (tmp_path / "index" / "data").write_text("vectors")
    assert served.for_index(tmp_path / "index")
    with pytest.raises(IndexMismatchError):
        adapter(model_name=folder(), endpoint=url, truncate_dim=8).for_index(tmp_path / "index")
