"""Each fault that a server may have is named right, over HTTP."""

import json
import time

import pytest
import torch

from prompteol import PromptEOL, PromptTemplate
from prompteol.errors import ServerError, SettingError
from prompteol.prompts import RetrievalTemplate
from prompteol.serving.faults import FAULTS
from prompteol.serving.verify import verify

COMMON = ["prompt lost", "prompt twice", "normalization lost", "tail cut", "wrong pooling", "EOS added"]
OF_ARCHITECTURE = [
    *[(architecture, fault) for architecture in ("llama", "opt", "gpt2", "qwen2") for fault in COMMON],
    *[(architecture, fault) for architecture in ("llama", "opt") for fault in ("BOS twice", "no BOS")],
    ("gpt2", "BOS added"),
]


def of(found, request):
    return next(one for one in found.findings if one.request.startswith(request))


@pytest.mark.parametrize("architecture", ["llama", "opt", "gpt2", "qwen2"])
def test_a_server_without_a_fault_is_exact(saved, backend, serve, architecture):
    found = verify(serve(backend(architecture)), saved(architecture)[1])
    assert found.exact
    assert [one.verdict for one in found.findings] == ["exact"] * 7
    assert max(one.difference for one in found.findings) < 4e-6


@pytest.mark.parametrize(("architecture", "fault"), OF_ARCHITECTURE)
def test_each_fault_is_named(saved, backend, serve, architecture, fault):
    found = verify(serve(backend(architecture, fault)), saved(architecture)[1], inputs=["plain"])
    assert not found.exact
    assert (found.faults[0], found.findings[0].mend) == (fault, FAULTS[fault])


@pytest.mark.parametrize("fault", ["", "normalization lost", "prompt twice"])
def test_a_pair_of_templates(saved, backend, serve, fault):
    sides = (PromptTemplate.parse(f'{kind} : "{{text}}" in one word:"') for kind in ("Query", "Passage"))
    local = PromptEOL(saved("llama")[0], template=RetrievalTemplate(*sides), device="cpu")
    served, query = backend("llama"), local.template.query

    def row(text):
        filled = text if fault == "normalization lost" else query.normalize(text)
        whole = query.head + filled + query.suffix
        whole = query.head + whole + query.suffix if fault == "prompt twice" else whole
        return served.tokenizer(local.module.prompter.start + whole, add_special_tokens=False).input_ids

    served.row = row
    found = verify(serve(served), local, task="query", inputs=["plain"])
    assert found.findings[0].fault == fault


@pytest.mark.parametrize("architecture", ["llama", "opt"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_another_dtype_is_named(saved, backend, serve, architecture, dtype):
    found = verify(serve(backend(architecture, dtype=dtype)), saved(architecture)[1], inputs=["plain"])
    assert found.faults[0] == "another dtype"
    assert found.findings[0].detail.startswith(str(dtype).removeprefix("torch."))
    assert verify(serve(backend(architecture, dtype=dtype)), saved(architecture)[1], tolerance=0.1).exact


@pytest.mark.parametrize("fault", ["prompt lost", "EOS added", "wrong pooling"])
def test_a_fault_is_named_in_another_dtype_too(saved, backend, serve, fault):
    served = backend("llama", fault, dtype=torch.bfloat16)
    assert verify(serve(served), saved("llama")[1], inputs=["plain"]).faults[0] == fault


@pytest.mark.parametrize("number", [float("nan"), None])
@pytest.mark.parametrize(
    ("where", "faults"),
    [((1, 6), ["another dtype"]), ((1,), ["another dtype", "batch differs"]), ((6,), ["batch differs"])],
)
def test_an_overflow_is_named(saved, backend, serve, number, where, faults):
    def overflowing(handler, body):
        served = handler.server.backend
        vectors = [served.vector(row)[: body.get("dimensions")].tolist() for row in served.rows(body)]
        if len(vectors) in where:
            vectors[0][0] = number
        return 200, {"data": [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]}

    served = backend("llama")
    served.fault = overflowing
    found = verify(serve(served), saved("llama")[1], inputs=["plain"])
    assert found.faults == faults
    json.dumps(found.as_record(), allow_nan=False)


def test_another_model_is_named(saved, backend, serve, tiny, tmp_path):
    served = backend("llama")
    for number, options in enumerate([{"seed": 7}, {"hidden_size": 16, "heads": 2}]):
        other = PromptEOL(tiny("llama", **options), device="cpu")
        found = verify(serve(served), other)
        assert set(found.faults[:3]) == {"another model"}, number


def test_a_saved_folder_wants_messages_or_token_ids(saved, backend, serve):
    found = verify(serve(backend("llama", bakes_prompt=False)), saved("llama")[1])
    assert of(found, "plain text").fault == "prompt lost"
    assert of(found, "chat messages").verdict == of(found, "token ids").verdict == "exact"
    assert of(found, "a long text").verdict == "exact"


def test_a_long_text_that_loses_its_end(saved, backend, serve):
    served = backend("llama", "cuts the end", limit=128)
    found = verify(serve(served), saved("llama")[1], inputs=["plain"])
    assert [of(found, "plain text").verdict, of(found, "a long text").fault] == ["exact", "tail cut"]


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_cut_by_an_exported_tokenizer_is_named_and_no_fault(saved, backend, serve, architecture, monkeypatch):
    # In these small models it changes little.
    monkeypatch.setattr("prompteol.serving.verify._SAME_MEANING", 1.0)
    served = backend(architecture, "cuts as an export", limit=128)
    local = PromptEOL(saved(architecture)[0], device="cpu")
    local.max_seq_length = 128
    found = verify(serve(served), local, inputs=["plain"])
    long = of(found, "a long text")
    assert (long.verdict, long.fault, long.mend) == ("inexact", "tail shortened", FAULTS["tail shortened"])
    assert found.exact
    assert not found.faults


def test_a_text_that_is_cut_earlier(saved, backend, serve):
    found = verify(serve(backend("llama", limit=64)), saved("llama")[1], inputs=["plain"])
    assert of(found, "a long text").fault in ("text cut elsewhere", "")
    assert "text cut elsewhere" in of(found, "a long text").detail + of(found, "a long text").fault


@pytest.mark.parametrize(("fault", "request_"), [("batch differs", "plain text"), ("dimensions ignored", "dimensions")])
def test_faults_of_other_requests(saved, backend, serve, fault, request_):
    found = verify(serve(backend("llama", fault)), saved("llama")[1], inputs=["messages", "plain"])
    assert of(found, request_).fault == fault


def test_text_embeddings_inference(saved, backend, serve):
    found = verify(serve(backend("llama")) + "/embed", saved("llama")[1])
    assert found.exact
    assert of(found, "chat messages").verdict == "not taken"


def test_a_request_that_is_not_taken_is_no_fault(saved, backend, serve):
    served = backend("llama")
    served.chats = False
    found = verify(serve(served), saved("llama")[1])
    assert found.exact
    assert of(found, "chat messages").verdict == "not taken"


def test_the_key_is_sent_and_never_shown(saved, backend, serve, monkeypatch):
    served = backend("llama")
    served.key = "sk-secret-1"
    url = serve(served)
    monkeypatch.setenv("PROMPTEOL_API_KEY", "sk-secret-1\n")
    assert verify(url, saved("llama")[1], inputs=["plain"]).exact
    with pytest.raises(ServerError, match=r"HTTP 401.*\*\*\*.*set PROMPTEOL_API_KEY") as caught:
        verify(url, saved("llama")[1], api_key="sk-secret-2")
    assert "secret" not in str(caught.value)
    for key in ("sk-sécret", "sk-secret\nX: 1"):
        with pytest.raises(SettingError) as refused:
            verify(url, saved("llama")[1], api_key=key)
        assert "cret" not in str(refused.value)


@pytest.mark.parametrize("key", ['sk-"secret"', "sk-se  cret", "sk-sec\\ret"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_key_of_odd_characters_is_not_shown(saved, backend, serve, key, status):
    served = backend("llama")
    served.fault = lambda handler, _: (status, {"you sent": handler.headers["Authorization"]})
    with pytest.raises(ServerError, match=r"you sent.*Bearer \*\*\*") as caught:
        verify(serve(served), saved("llama")[1], api_key=key)
    assert "cret" not in str(caught.value)


def test_a_server_sends_no_commands_to_the_terminal(saved, backend, serve):
    served = backend("llama")
    served.fault = lambda *_: (400, b"\x1b]0;title\x07 \x1b[31mred")
    with pytest.raises(ServerError, match="red") as caught:
        verify(serve(served), saved("llama")[1])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda *_: (500, {"error": "out of memory"}), "takes none of plain, messages, tokens: .*HTTP 500"),
        (lambda *_: (404, {"error": "no such model"}), "HTTP 404.*check the URL"),
        (lambda *_: (200, b"<html>welcome</html>"), "answered no JSON but"),
        (lambda *_: (200, {"object": "list"}), "answered without 6 vectors"),
        (lambda *_: (200, {"data": [{"index": 0, "embedding": [1.0]}]}), "answered without 6 vectors"),
    ],
)
def test_broken_servers_are_told_in_one_line(saved, backend, serve, answer, told):
    served = backend("llama")
    served.fault = answer
    with pytest.raises(ServerError, match=told) as caught:
        verify(serve(served), saved("llama")[1])
    assert "\n" not in str(caught.value)


def test_no_server_and_a_slow_one(saved, backend, serve):
    with pytest.raises(ServerError, match="cannot be reached"):
        verify("http://127.0.0.1:9", saved("llama")[1])
    served = backend("llama")
    served.fault = lambda *_: (time.sleep(1.0), (200, {}))[1]
    with pytest.raises(ServerError, match=r"no answer within 0.2 s"):
        verify(serve(served), saved("llama")[1], timeout=0.2)


@pytest.mark.parametrize("url", ["localhost:8000", "", "http://", "ftp://host", "http://me:secret@host"])
def test_a_url_that_is_none(saved, url):
    with pytest.raises(SettingError, match="the URL of the server") as caught:
        verify(url, saved("llama")[1])
    assert "secret" not in str(caught.value)


def test_what_every_form_is_told_is_told_once(saved, backend, serve):
    served = backend("llama")
    served.fault = lambda *_: (400, b"<html>none of it</html>")
    with pytest.raises(ServerError) as refused:
        verify(serve(served), saved("llama")[1])
    assert str(refused.value).count("<html>") == 1
