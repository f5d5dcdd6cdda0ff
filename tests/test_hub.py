"""A request to the Hub that fails is one line: what was asked, why it failed, what to do; never the token."""

import logging

import pytest
from huggingface_hub import constants

from hub_server import TOKEN
from prompteol import PromptEOL
from prompteol.errors import HubError, ModelNotFoundError


@pytest.fixture
def model(tiny):
    return PromptEOL(tiny("llama"), device="cpu")


@pytest.fixture
def impatient(monkeypatch):
    """Wait for nothing between two tries of the client."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def pushed_and_loaded(model, **how):
    """The messages of a push and of a load that fail."""
    with pytest.raises(HubError) as pushed:
        model.push_to_hub("me/new", **how)
    with pytest.raises((HubError, ModelNotFoundError)) as loaded:
        PromptEOL("me/tiny", device="cpu", **how)
    for raised in (pushed, loaded):
        assert "\n" not in str(raised.value)
    return str(pushed.value), str(loaded.value)


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        ("hf_secret\n", "holds a line break"),
        ("hf_secret\r\n", "holds a line break"),
        ("", "is empty"),
        ("hf_sécret", "holds a character that is not ASCII"),
        (" hf_secret", "holds a space"),
        ("Bearer hf_secret", "holds a space"),
        ("hf_secret\x00", "a control character"),
    ],
)
def test_a_token_that_no_request_can_carry_is_not_printed(model, hub, token, fault):
    for message in pushed_and_loaded(model, token=token):
        assert fault in message
        assert "cret" not in message
    assert hub.requests == []


def test_such_a_token_of_the_environment(model, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_sécret")
    for message in pushed_and_loaded(model):
        assert "holds a character that is not ASCII" in message
        assert "cret" not in message


@pytest.mark.parametrize(("status", "what"), [(503, "does not answer (503)"), (429, "asks to wait (429)")])
def test_a_hub_out_of_order_ends_the_load_at_its_first_file(model, hub, tiny, impatient, status, what):
    hub.upload("me/tiny", tiny("llama"))
    hub.fail("", status=status)
    pushed, loaded = pushed_and_loaded(model)
    assert f"{hub.url} {what}: try again" in pushed
    assert f"{hub.url} {what}: try again later, or set HF_HUB_OFFLINE=1 if the model is in the cache" in loaded
    assert len({one.path for one in hub.asked("HEAD")}) == 1


def test_a_hub_out_of_order_is_asked_once_of_what_the_cache_has(hub, tiny, caplog):
    hub.upload("me/tiny", tiny("llama"))
    PromptEOL("me/tiny", device="cpu")
    hub.requests.clear()
    hub.fail("", status=503)
    with caplog.at_level(logging.WARNING):
        assert PromptEOL("me/tiny", device="cpu").encode("hello").shape == (32,)
    assert len(hub.asked("HEAD .*resolve")) == 1
    assert f"'me/tiny' is read from the cache: no answer from {hub.url}: Server error '503" in caplog.text


@pytest.mark.parametrize("file", ["/objects", "/config.json", "/tokenizer.json"])
def test_a_download_that_keeps_breaking_is_no_damage(hub, tiny, impatient, file):
    hub.upload("me/tiny", tiny("llama"))
    hub.fail(f"GET .*{file}", cut_after=10)
    with pytest.raises(HubError, match=r"'me/tiny' was not loaded; .* does not answer: try again later"):
        PromptEOL("me/tiny", device="cpu")


@pytest.fixture
def endpoint(hub, monkeypatch):
    """Have the client speak to another address, as ``HF_ENDPOINT`` does where Python starts."""

    def set_endpoint(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return set_endpoint


def test_an_endpoint_without_a_scheme(model, hub, endpoint):
    endpoint("hub.example.org")
    for message in pushed_and_loaded(model):
        assert "HF_ENDPOINT='hub.example.org' has no scheme, so put https:// before it" in message


def test_an_endpoint_with_another_path(model, hub, endpoint):
    endpoint(f"{hub.url}/hub")
    pushed, loaded = pushed_and_loaded(model)
    assert f"nothing at {hub.url}/hub answers as the Hub does, so look at HF_ENDPOINT" in pushed
    assert "no config.json at 'me/tiny': give the folder of a model, or a Hub name" in loaded
    assert f"(the Hub is {hub.url}/hub, unless HF_HUB_OFFLINE is set)" in loaded


@pytest.mark.parametrize("proxy", ["http://me:pass@127.0.0.1:9", "ftp://127.0.0.1:9", "foo:bar"])
def test_a_proxy_that_is_none_is_named(model, hub, impatient, monkeypatch, proxy):
    from huggingface_hub.utils import close_session

    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    close_session()
    try:
        messages = pushed_and_loaded(model)
    finally:
        close_session()
    for message in messages:
        assert f"{hub.url} by the proxy {proxy.rpartition('@')[2]!r} (of HTTP_PROXY or ALL_PROXY) does not" in message
        assert "pass" not in message


def test_the_token_of_a_request_that_fails_is_not_printed(model, hub):
    hub.fail("", status=403)
    for message in pushed_and_loaded(model, token=TOKEN):
        assert TOKEN not in message
        assert "the token may not" in message
