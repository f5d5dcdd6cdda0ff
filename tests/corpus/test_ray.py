"""On a local Ray cluster: the vectors and bytes of one process, in order, also when an actor is killed."""

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

import prompteol

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'prompteol[ray]'")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def wait_for(is_so, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return found


def workers():
    """Return the processes of the cluster that embed a share of a corpus."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            found += [process] * ("ray::_embed_rank" in " ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


def kill_worker_when(out, shards):
    """Kill one of those processes once a folder has so many shards; tell whether there was one."""
    wait_for(lambda: has(out, shards))
    at_work = workers()
    if at_work:
        at_work[0].kill()
    return bool(at_work)


def has(out, shards):
    return len(list(out.glob("*.parquet"))) >= shards


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


def test_actors_that_leave_no_cpu_for_reading_are_warned_of(cluster, base):
    import prompteol.ray

    with pytest.warns(UserWarning, match="4 actors of 1 CPUs leave none of the cluster's 4 for reading"):
        prompteol.ray.embed(ray.data.from_items([{"text": "x"}]), model=base, concurrency=4)


def test_the_folder_has_the_same_bytes_though_a_process_of_ray_is_killed(cluster, base, corpus_file, tmp_path, digest):
    options = {"keep": ["id"], "shard_rows": 10, "device": "cpu"}
    prompteol.embed_corpus(base, corpus_file, tmp_path / "whole", **options)
    killed = []
    killer = threading.Thread(target=lambda: killed.append(kill_worker_when(tmp_path / "out", shards=1)))
    killer.start()
    prompteol.embed_corpus(base, corpus_file, tmp_path / "out", **options, workers=2, ray=True)
    killer.join()

    assert killed == [True]
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_an_error_on_the_cluster_is_ours(cluster, base, tmp_path):
    from prompteol.errors import CorpusError

    rows = tmp_path / "in.jsonl"
    rows.write_text('{"text": "fine"}\n{"text": null}\n')
    with pytest.raises(CorpusError, match="line 2: 'text' is null, not a string"):
        prompteol.embed_corpus(base, rows, tmp_path / "out", device="cpu", workers=2, ray=True, shard_rows=1)


@pytest.mark.parametrize("seen", [OSError(32, "Broken pipe"), ValueError("no owner"), EOFError()])
def test_a_connection_to_the_cluster_that_breaks_is_ours(cluster, base, corpus_file, tmp_path, monkeypatch, seen):
    from prompteol.errors import CorpusError

    def get(*_):
        raise seen

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(CorpusError, match=rf"failed for good \({type(seen).__name__}.*run the same command to go on"):
        prompteol.embed_corpus(base, corpus_file, tmp_path / "out", device="cpu", workers=2, ray=True)


def test_a_task_that_fails_in_code_of_others_is_ours(cluster):
    from prompteol.corpus.processes import _ray_errors
    from prompteol.errors import CorpusError

    @ray.remote
    def fail():
        raise KeyError("a cell")

    told = pytest.raises(CorpusError, match=r"failed for good \(KeyError: 'a cell'\); the shards that are whole stay")
    with told, _ray_errors(ray):
        ray.get(fail.remote())


def test_the_command_writes_what_one_process_writes(cluster, base, corpus_file, tmp_path, digest):
    from typer.testing import CliRunner

    from prompteol.cli.app import app

    command = ["encode", str(corpus_file), "-m", base, "--device", "cpu", "--shard-rows", "50", "--keep", "id", "-o"]
    whole = CliRunner().invoke(app, [*command, f"{tmp_path}/whole/"])
    shared = CliRunner().invoke(app, [*command, f"{tmp_path}/out/", "--ray", "--workers", "2"])

    assert (whole.exit_code, shared.exit_code) == (0, 0), shared.output
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.parametrize("killed", ["worker", "driver"])
def test_the_command_is_killed_in_the_middle(cluster, base, tmp_path, digest, killed):
    """``encode --ray`` outlives a worker; after its own death the same command ends in the bytes of one process."""
    rows, out = tmp_path / "in.jsonl", tmp_path / "out"
    lines = ({"id": number, "text": f"Sentence {number}, {'and so on ' * (number % 7)}."} for number in range(600))
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    options = {"keep": ["id"], "shard_rows": 10, "device": "cpu", "threads": 1}
    prompteol.embed_corpus(base, rows, tmp_path / "whole", **options)
    command = [
        sys.executable, "-m", "prompteol", "encode", str(rows), "-m", base, "--device", "cpu", "--threads", "1",
        "--shard-rows", "10", "--keep", "id", "-o", f"{out}/", "--workers", "2",
        "--ray", ray.get_runtime_context().gcs_address,
    ]  # fmt: skip
    with (tmp_path / "said").open("w") as said, subprocess.Popen(command, stderr=said) as driver:
        if killed == "worker":
            assert kill_worker_when(out, shards=3)
        else:
            assert wait_for(lambda: has(out, shards=3))
            driver.kill()
    if killed == "driver":
        assert not has(out, shards=60)
        assert driver.returncode == -signal.SIGKILL
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
    else:
        assert driver.returncode == 0, (tmp_path / "said").read_text()

    assert digest(out) == digest(tmp_path / "whole")
