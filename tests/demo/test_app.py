"""The app serves this machine alone, sends nothing anywhere, and answers what is clicked; its Space is whole."""

import json
import socket
import subprocess
import sys
import urllib.request

import pytest
import yaml

from prompteol import PromptEOL
from prompteol.demo import app as app_module
from prompteol.demo import build_app, launch_app, write_space
from prompteol.errors import CorpusError, MissingExtraError, SettingError


@pytest.fixture(scope="module")
def model(tiny):
    return PromptEOL(tiny("llama", tied=True), device="cpu")


@pytest.fixture(scope="module")
def served(tiny):
    """The address of a demo in a process of its own: Gradio leaves sockets and event loops to the collector."""
    pytest.importorskip("gradio", reason="needs the extra demo")
    port = free_port()
    command = [sys.executable, "-m", "prompteol", "demo", tiny("llama"), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.readline()
        assert "shows it" in said, said
        yield f"http://127.0.0.1:{port}/"
        process.terminate()
        process.communicate(timeout=60)


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def ask(address, name, *data):
    """Call an endpoint as Gradio's own clients do, and return its outputs."""
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(f"{address}gradio_api/call/{name}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        event = json.loads(answer.read())["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/{name}/{event}") as answer:
        said = answer.read().decode()
    # Before it, a slow machine sends heartbeats.
    event, data = said.strip().split("\n\n")[-1].split("\n")
    assert event == "event: complete", said
    return json.loads(data.removeprefix("data: "))


def test_it_serves_this_machine_alone_with_no_telemetry(served):
    with urllib.request.urlopen(served) as answer:
        page = answer.read().decode()
    assert "googleapis" not in page
    assert "cdnjs" not in page
    with urllib.request.urlopen(f"{served}config") as answer:
        config = json.loads(answer.read())
    assert not config["analytics_enabled"]


def test_nothing_is_shared_unless_it_is_asked_for():
    pytest.importorskip("gradio", reason="needs the extra demo")

    class App:
        def launch(self, **given):
            assert (given["server_name"], given["share"]) == ("127.0.0.1", False)
            raise OSError("the port is taken")

    with pytest.raises(SettingError, match=r"127\.0\.0\.1:8080: choose another --port"):
        launch_app(App(), port=8080)


def test_clicks_are_answered_and_faults_are_one_line(served):
    address = served
    said, similarity, cards = ask(address, "compare", "A man sings.\nTwo dogs <i>run</i>.", "document")
    assert said == "2 embedded, see below."
    assert "&lt;i&gt;run" in similarity
    assert "<article" in cards
    assert "cut to what the model takes" in ask(address, "compare", "a man sings " * 400, "document")[0]
    for empty in ("", " \n "):
        said, *others = ask(address, "compare", empty, "document")
        assert said.startswith("There is no sentence yet")
        assert others == ["", ""]
    assert "4 more were left out" in ask(address, "compare", "A man.\n" * 20, "document")[0]
    said, effect, prompt = ask(address, "demonstration", "A man sings.\nWhy?", "document", "A horse.", "Animal")
    assert "1 and 2" in effect
    assert "A horse." in prompt
    said, *others = ask(address, "demonstration", "A man sings.", "document", "A horse.", "two words")
    assert "exactly one word" in said
    assert "\n" not in said
    assert others == ["", ""]


def test_a_space_holds_the_model_and_a_valid_card(model, tmp_path):
    gradio = pytest.importorskip("gradio", reason="needs the extra demo")
    write_space(tmp_path / "space", model, "/home/me/my {model}")
    assert sorted(path.name for path in (tmp_path / "space").iterdir()) == [
        "README.md", "app.py", "model", "requirements.txt",
    ]  # fmt: skip
    card = yaml.safe_load((tmp_path / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (card["sdk"], card["sdk_version"], card["app_file"]) == ("gradio", gradio.__version__, "app.py")
    assert "home" not in card["title"]
    assert len(card["short_description"]) <= 60
    # What the Hub takes.
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {card["colorFrom"], card["colorTo"]} <= colors
    code = "import runpy, sys; print(type(runpy.run_path(sys.argv[1])['app']).__name__)"
    command = [sys.executable, "-c", code, tmp_path / "space" / "app.py"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["Blocks"]
    with pytest.raises(CorpusError, match="exists already"):
        write_space(tmp_path / "space", model, "again")


def test_a_space_of_a_model_on_the_hub_names_it(model, tmp_path):
    pytest.importorskip("gradio", reason="needs the extra demo")
    write_space(tmp_path / "space", model, "org/name", hub_name="org/name", revision="v1")
    source = (tmp_path / "space" / "app.py").read_text(encoding="utf-8")
    assert "PromptEOL('org/name', revision='v1')" in source
    assert not (tmp_path / "space" / "model").exists()
    card = yaml.safe_load((tmp_path / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert card["models"] == ["org/name"]


def test_without_gradio_the_extra_is_named(model, monkeypatch):
    monkeypatch.setattr("prompteol.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install \"prompteol\[demo\]\""):
        build_app(model)


def test_what_is_said_is_no_markup():
    assert app_module._plain("<b>*a*\n![x](y)") == "&#60;b&#62;&#42;a&#42;&#10;&#33;&#91;x&#93;&#40;y&#41;"
