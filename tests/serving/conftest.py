"""Servers that stop with the test, and saved models to serve."""

from contextlib import ExitStack

import pytest

from prompteol import PromptEOL
from serving_backend import Backend, running


@pytest.fixture
def serve():
    """Start servers that stop with the test: ``serve(backend)`` returns the URL."""
    with ExitStack() as stack:
        yield lambda backend: stack.enter_context(running(backend))


@pytest.fixture(scope="session")
def saved(tiny, tmp_path_factory):
    """Folder of a saved model of an architecture, and the model."""
    made = {}

    def model(architecture):
        if architecture not in made:
            folder = str(tmp_path_factory.mktemp("saved") / architecture)
            loaded = PromptEOL(tiny(architecture), device="cpu")
            loaded.save(folder)
            made[architecture] = folder, PromptEOL(folder, device="cpu")
        return made[architecture]

    return model


@pytest.fixture
def backend(saved):
    return lambda architecture="llama", *arguments, **options: Backend(saved(architecture)[0], *arguments, **options)
