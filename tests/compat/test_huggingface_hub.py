"""Canaries: each says what huggingface_hub changed that its public interface does not promise."""

import huggingface_hub
import pytest
from huggingface_hub import HfApi

from prompteol.compat import hub_errors


def test_no_connection_is_one_of_its_errors(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(hub_errors()) as caught:
        HfApi(endpoint="http://127.0.0.1:9", token="t").create_repo("me/model")
    version = huggingface_hub.__version__
    assert not isinstance(caught.value, OSError), (
        f"huggingface_hub {version} needs no class of another library any more"
    )
