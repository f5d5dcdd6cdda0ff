"""On a local Ray cluster: the vectors and bytes of one process, in order, also when an actor is killed."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import prompteol

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'prompteol[ray]'")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_map_batches_gives_the_vectors_of_one_process_in_order(cluster, base, model, texts):
    import prompteol.ray

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    dataset = ray.data.from_items([{"id": number, "text": text} for number, text in enumerate(texts)])
    embedded = prompteol.ray.embed(
        dataset.repartition(5), model=base, concurrency=2, rows_per_batch=30, threads=1, device="cpu"
    ).take_all()

    assert [row["id"] for row in embedded] == list(range(len(texts)))
    expected = model.encode(texts)
    np.testing.assert_allclose(np.stack([row["embedding"] for row in embedded]), expected, atol=1e-6)


def test_the_folder_has_the_same_bytes_though_an_actor_is_killed(cluster, base, corpus_file, tmp_path, digest):
    options = {"keep": ["id"], "shard_rows": 10, "device": "cpu"}
    prompteol.embed_corpus(base, corpus_file, tmp_path / "whole", **options)
    killed = []

    def kill_one():
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            if list((tmp_path / "out").glob("*.parquet")):
                for process in Path("/proc").glob("[0-9]*"):
                    try:
                        if b"ray::ShardActor" in (process / "cmdline").read_bytes():
                            os.kill(int(process.name), signal.SIGKILL)
                            killed.append(process.name)
                            return
                    except OSError:
                        continue
            time.sleep(0.005)

    killer = threading.Thread(target=kill_one)
    killer.start()
    prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **options, workers=2, ray=True)
    killer.join()

    assert killed
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
