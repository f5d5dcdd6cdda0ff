"""A tokenizer's files are opened once a load: counted by the kernel, since tokenizers opens them from Rust."""

import ctypes
import os
import struct
import sys
from collections import Counter

import pytest

from prompteol import PromptEOL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
_IN_OPEN = 0x20


@pytest.fixture
def opened():
    """Return a function that watches a folder, and gives back a function that counts what was opened there."""
    libc = ctypes.CDLL(None, use_errno=True)
    watches = []

    def watch(folder):
        watches.append(libc.inotify_init1(os.O_NONBLOCK))
        assert libc.inotify_add_watch(watches[-1], os.fsencode(folder), _IN_OPEN) > 0
        return lambda: count(watches[-1])

    def count(descriptor):
        events, names, start = os.read(descriptor, 1 << 20), Counter(), 0
        while start < len(events):
            *_, length = struct.unpack_from("iIII", events, start)
            names[events[start + 16 : start + 16 + length].rstrip(b"\0").decode()] += 1
            start += 16 + length
        return names

    yield watch
    for descriptor in watches:
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["base", "saved", "saved again"])
def test_tokenizer_files_are_opened_once(tiny, tmp_path, opened, kind):
    folder = tiny("llama")
    if kind != "base":
        PromptEOL(folder, device="cpu").save_pretrained(tmp_path)
        folder = tmp_path
    if kind == "saved again":
        (tmp_path / "prompteol.json").unlink()
    count = opened(folder)
    PromptEOL(folder, device="cpu")
    counted = count()
    assert counted["tokenizer.json"] == 1
    assert counted["model.safetensors"] == 1
    assert counted["chat_template.jinja"] == (kind != "base")
