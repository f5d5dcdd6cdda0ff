"""The script that waits for a GPU runs on a CPU, at tiny shapes."""

import json
import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "packed_on_gpu.py"


def test_it_measures_and_saves(tmp_path):
    file = tmp_path / "figures.json"
    script = runpy.run_path(str(SCRIPT))
    figures = script["main"](["--tiny", "--texts", "8", "--output", str(file)])
    saved = json.loads(file.read_text())
    assert saved["equal"] == figures["equal"]
    assert {row["architecture"] for row in saved["equal"]} == set(script["ARCHITECTURES"])
    assert all(row["packed"] and row["apart"] < 1e-5 for row in saved["equal"])
    assert {row.get("instruction") for row in saved["speeds"]} == {0, 20, 200, None}
    assert all(row["texts_per_second"] > 0 for row in saved["speeds"])


def test_it_stops_in_time(tmp_path):
    figures = runpy.run_path(str(SCRIPT))["main"](["--tiny", "--seconds", "0", "--output", str(tmp_path / "a.json")])
    assert not figures["equal"]
    assert not figures["speeds"]
