"""A forked child goes on, whatever a thread of its parent was in the middle of."""

import os
import signal
import threading

import numpy as np
import pytest

from prompteol import PromptEOL
from prompteol.embedder import TextEmbedder, lock_for

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


def in_child(work):
    """Run in a forked child; return whether it ended well within a minute."""
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("busy_with", ["tokenizer", "backbone"])
def test_a_fork_while_another_thread_encodes(tiny, monkeypatch, busy_with):
    model = PromptEOL(tiny("llama"), device="cpu")
    expected = model.encode(["rain"])
    entered, go_on = threading.Event(), threading.Event()
    kind, name = (
        (type(model.tokenizer), "__call__") if busy_with == "tokenizer" else (type(model.transformers_model), "forward")
    )
    plain = getattr(kind, name)

    def slow(*args, **kwargs):
        if threading.current_thread() is not threading.main_thread():
            entered.set()
            go_on.wait()
        return plain(*args, **kwargs)

    monkeypatch.setattr(kind, name, slow)
    thread = threading.Thread(target=model.encode, args=(["snow"],))
    thread.start()
    assert entered.wait(60)
    try:
        assert in_child(lambda: np.testing.assert_allclose(model.encode(["rain"]), expected, atol=1e-5)) == 0
    finally:
        go_on.set()
        thread.join()


def test_a_fork_while_another_thread_holds_an_embedder(tiny):
    model = PromptEOL(tiny("llama"), device="cpu")
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with lock_for(model):
            held.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        assert in_child(lambda: TextEmbedder(model).embed(["rain"], "query")) == 0
    finally:
        go_on.set()
        thread.join()
