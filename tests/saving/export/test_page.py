"""The exported page: its files, and its own JavaScript beside Python; Node runs that where it is at hand.

``$PROMPTEOL_SERVERS`` names the folder in which ``scripts/serve`` made the environment ``node``.
"""

import json
import os
import random
import re
import shutil
import subprocess
import unicodedata
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from tokenizers import Tokenizer, models
from tokenizers.normalizers import StripAccents

from prompteol import PromptEOL, PromptTemplate, export
from prompteol.errors import ExportError, SettingError, TemplateError
from prompteol.prompts import TEMPLATES, Demonstration
from prompteol.saving.export import libraries
from prompteol.saving.export.browser_tokenizer import spelled_out, write_browser_tokenizer
from prompteol.saving.export.plan import ExportPlan, exported_prompt
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.saving.export.samples import samples
from prompteol.saving.export.web import embeddings_are_head, sample_corpus

CLIENT = Path(__file__).parents[3] / "scripts" / "serving" / "clients" / "in_browser.mjs"
SCRIPTS = Path(libraries.__file__).with_name("page")
ODD = [
    *("\x00\x01 control \x1f\x85 characters\x7f", "عربي \u202eright to left\u202c نص؟", 'שלום "עולם"', "a\u200bb"),
    *('\\n \\" {text} {{ x }} {% y %} $& $1', "\t\n"),
    *("ΑΣ ΣΑΣ. Σ ΑΣ1 ᾼΣ\u0345", "İSTANBUL ẞ Ǆ ﬃ", "a\ufeffb \ufeff c\x85d"),
    *("the cat sat on the mat. " * 150, "文字" * 900, "x" * 3000, "a b " * 500),
]  # fmt: skip
# A letter that a later Unicode than the tokenizers library's takes apart.
LATER = {"\U00011938"}
DEMONSTRATION = Demonstration('A "jockey" riding a $& horse.', "Equestrian")


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """A node_modules folder with the files that are served, and nothing in them."""
    folder = tmp_path_factory.mktemp("node_modules")
    for library in libraries.LIBRARIES:
        for file in library.files:
            path = folder / library.name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{library.name} {file}")
    return folder


@pytest.fixture(scope="session")
def exported(tiny, modules, tmp_path_factory):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    model = PromptEOL(tiny("llama", tied=True), device="cpu")
    export(model, out := tmp_path_factory.mktemp("page") / "out", web=True, web_libraries=modules)
    return model, out


@pytest.fixture(scope="session")
def in_node(tmp_path_factory):
    """Run the page's JavaScript: ``in_node(**given)`` returns what ``page.mjs`` prints."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node on the path")
    folder = tmp_path_factory.mktemp("scripts")
    for file in (*SCRIPTS.glob("*.js"), Path(__file__).with_name("page.mjs")):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')

    def run(**given):
        done = subprocess.run(
            [node, folder / "page.mjs"], input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def config(folder):
    return json.loads((folder / "page" / "config.json").read_text(encoding="utf-8"))


def test_every_file_that_the_page_reads_is_there(exported):
    _, out = exported
    page = (out / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://", page)
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    for script in (out / "page").glob("*.js"):
        source = script.read_text(encoding="utf-8")
        assert "http" not in source.replace("http://www.w3.org", "")
        paths = re.findall(r"(?:from|URL\()\s*'([^']+)'", source)
        named |= {str(Path(os.path.normpath(Path("page") / path))) for path in paths}
    named |= {file["path"] for file in config(out)["files"]}
    assert {name for name in named if not (out / name).is_file()} == set()
    assert {Path(name).name for name in named} >= {"ort.wasm.bundle.min.js", "tokenizers.min.js", "worker.js"}
    for file in config(out)["files"]:
        assert (out / file["path"]).stat().st_size == file["bytes"]


def test_the_page_may_speak_to_its_own_host_alone(exported):
    _, out = exported
    page = (out / "index.html").read_text(encoding="utf-8")
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert {source for rule in rules.values() for source in rule.split()} <= {"'self'", "'none'", "'wasm-unsafe-eval'"}
    # Which such a policy refuses.
    assert not re.search(r'\sstyle="|\son[a-z]+="|<script>', page)


def test_every_field_has_a_label(exported):
    _, out = exported
    page = (out / "index.html").read_text(encoding="utf-8")
    for field in re.findall(r'<(?:textarea|input|progress) id="(\w+)"', page):
        assert f'<label for="{field}">' in page
    assert '<html lang="en">' in page


def test_the_configuration_is_the_models(exported):
    model, out = exported
    about = config(out)
    assert (about["dimension"], about["max_length"]) == (model.get_embedding_dimension(), model.max_seq_length)
    # A path of this machine is nobody's business.
    assert "/" not in about["name"]
    assert [one["ids"] for one in about["checks"]] == ExportedPrompt(model.module.prompter).rows(
        [one["text"] for one in about["checks"]]
    )
    corpus = np.frombuffer((out / "page" / "corpus.f32").read_bytes(), "<f4").reshape(-1, about["dimension"])
    assert about["corpus"] == sample_corpus()
    assert np.abs(corpus - unit(model.encode(sample_corpus()))).max() <= 1e-6


def test_the_sample_corpus_is_of_sentences_each_once():
    assert 60 <= len(sample_corpus()) == len(set(sample_corpus())) <= 100
    assert all(sentence == sentence.strip() and sentence[-1] in ".?" for sentence in sample_corpus())


def test_the_graph_says_the_models_own_words(exported):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    model, out = exported
    assert config(out)["words"]
    session = onnxruntime.InferenceSession(str(out / "onnx" / "model.onnx"))
    texts = ["Why?", "A much longer sentence."]
    features = model.module.padded_rows(texts)
    ids, likely = session.run(
        ["word_ids", "word_probabilities"], {name: tensor.numpy() for name, tensor in features.items()}
    )
    [states] = model.module.layer_states(texts, [-1])
    best = model.head.logits(states, lambda: features).softmax(-1).topk(5)
    assert ids[:, :5].tolist() == best.indices.tolist()
    assert np.abs(likely[:, :5] - best.values.numpy()).max() <= 1e-5


@pytest.mark.parametrize(
    ("tied", "options", "own"),
    [(True, {}, True), (False, {}, False), (True, {"layer": -2}, False)],
    ids=["tied", "a head of its own", "another layer"],
)
def test_words_need_a_tied_head_at_the_last_layer(tiny, tied, options, own):
    model = PromptEOL(tiny("llama", tied=tied), device="cpu", **options)
    plan = ExportPlan.of(model, exported_prompt(model, None), normalize=False)
    assert embeddings_are_head(plan) == own


def test_libraries_are_asked_for_only_with_a_page(tiny, tmp_path):
    with pytest.raises(SettingError, match="add web=True"):
        export(PromptEOL(tiny("llama"), device="cpu"), tmp_path / "out", web_libraries=tmp_path)


def test_a_folder_without_the_libraries_says_how_to_fill_one(tmp_path):
    with pytest.raises(ExportError, match="npm install --ignore-scripts onnxruntime-web@"):
        libraries.library_files(tmp_path)


def test_what_npm_sends_is_checked_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://registry.example")
    with pytest.raises(ExportError, match=r"not reached by https.*--web-libraries"):
        libraries.library_files()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://registry.example/")
    asked = []

    def answer(request, timeout):
        import io

        asked.append(request.full_url)
        return io.BytesIO(b"something else")

    monkeypatch.setattr(libraries, "urlopen", answer)
    with pytest.raises(ExportError, match=r"it was changed.*--web-libraries"):
        libraries.library_files()
    assert asked == [f"https://registry.example/onnxruntime-web/-/onnxruntime-web-{libraries.LIBRARIES[0].version}.tgz"]
    assert not list(tmp_path.rglob("*.wasm"))


def test_prompts_are_rendered_as_in_python(in_node, exported):
    model, out = exported
    generator = random.Random(0)
    letters = " .?!\"'”)…。:;,-ab1É😀\n\t\x1c\x85\u00a0\u2028\u3000$&{}"
    texts = [*ODD, *("".join(generator.choices(letters, k=generator.randrange(12))) for _ in range(400))]
    modes = [TEMPLATES["prompteol"].with_normalization(mode) for mode in ("paper", "plain", "none")]
    found = in_node(
        page=config(out), texts=texts, rewrites=[mode.rewrites for mode in modes], demonstrations=[vars(DEMONSTRATION)]
    )
    for mode, normalized in zip(modes, found["normalized"], strict=True):
        assert normalized == [mode.normalize(text) for text in texts]
    model.set_template(demonstrations=[DEMONSTRATION])
    try:
        assert found["rendered"] == [model.module.prompter.render(text) for text in texts]
    finally:
        model.set_template(demonstrations=[])


def test_a_template_without_quotes_shows_its_word_behind_a_blank(in_node, tiny):
    template = PromptTemplate("Text: ", " Topic:", "none", (Demonstration("One.", "1"),))
    about = {name: getattr(template, name) for name in ("prefix", "suffix", "head", "around_word", "rewrites")}
    page = {"start": "<s> ", "prompt": "query: ", "template": about}
    found = in_node(page=page, texts=["a"], demonstrations=[vars(DEMONSTRATION)])
    whole = template.with_demonstrations([DEMONSTRATION, *template.demonstrations])
    assert found["rendered"] == ["<s> query: " + whole.render("a")]


def test_demonstrations_are_refused_as_in_python(in_node):
    pairs = [
        ("A man.", "Man"),
        ("", "Man"),
        (" \u3000", "Man"),
        ("A man.", ""),
        ("A man.", "two words"),
        ("A.", "a\u00a0b"),
    ]
    faults = in_node(texts=[], pairs=pairs)["faults"]
    for (sentence, word), fault in zip(pairs, faults, strict=True):
        try:
            Demonstration(sentence, word)
        except TemplateError:
            assert fault
            assert "\n" not in fault
        else:
            assert fault is None


def test_words_are_added_up_as_in_python(in_node):
    tokens = [" cat", "cat", "dog", " ", "\x07", "�", "Cat"]
    spelled = in_node(texts=[], tokens=tokens, probabilities=[0.3, 0.2, 0.4, 0.5, 0.6, 0.7, 0.1])["spelled"]
    assert [one["word"] for one in spelled] == ["cat", "dog", "Cat"]
    assert spelled[0]["probability"] == pytest.approx(0.5)


@pytest.fixture(scope="session")
def npm():
    """The node_modules of the environment that scripts/serve makes."""
    folder = Path(os.environ.get("PROMPTEOL_SERVERS") or ".", "node", "node_modules")
    if not (folder / "@huggingface" / "tokenizers").is_dir():
        pytest.skip("needs the environment node of scripts/serve: set PROMPTEOL_SERVERS to their folder")
    return folder.resolve()


def test_the_page_in_chromium_is_python_and_asks_nobody(npm, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a chromium: set CHROMIUM")
    model = PromptEOL(device="cpu")
    export(model, tmp_path / "out", web=True, web_libraries=npm)
    texts = [text for some in samples(ExportedPrompt(model.module.prompter)).values() for text in some] + ODD
    given = json.dumps({"texts": texts, "demonstration": vars(DEMONSTRATION)})
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "out"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = ["node", CLIENT, f"http://127.0.0.1:{server.server_port}", chromium]
        done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=npm.parent, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for way in ("single", "batch"):
        assert np.abs(np.array(found[way]) - unit(model.encode(texts))).max() <= 4e-6
    model.set_template(demonstrations=[DEMONSTRATION])
    assert np.abs(np.array(found["shown"]) - unit(model.encode(texts))).max() <= 4e-6
    # With a comma for a line break, the effect is that of the texts which are there now.
    assert found["commas"] == [["the cat,the dog"], ["the cat", "the dog"]]
    assert found["wide"] == {"360": 360, "768": 768}
    assert (found["refused"], found["errors"], found["axe"], any(found["stored"])) == ([], [], [], False)
    assert "There is no sentence yet" in found["blank"]


def test_spelled_out_classes_are_those_of_the_tokenizers_library():
    sequence = {"type": "Sequence", "normalizers": [{"type": "StripAccents"}, {"type": "Lowercase"}]}
    bert = {"type": "BertNormalizer", "lowercase": True, "clean_text": True, "handle_chinese_chars": True}
    text = "".join(chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000) + " ΑΣ ΣΑΣ"
    texts = [text[start : start + 500] for start in range(0, len(text), 500)]
    for part in (sequence, bert | {"strip_accents": None}, {"type": "Lowercase"}, {"type": "NFC"}):
        one, other = (made_of(normalizer=some) for some in (part, spelled_out(part)))
        for some in texts:
            assert one.normalizer.normalize_str(some) == other.normalizer.normalize_str(some)
    part = {"type": "BertPreTokenizer"}
    one, other = (made_of(pre_tokenizer=some) for some in (part, spelled_out(part)))
    for some in texts:
        assert one.pre_tokenizer.pre_tokenize_str(some) == other.pre_tokenizer.pre_tokenize_str(some)
    assert spelled_out({"type": "BertNormalizer", "lowercase": False})["type"] == "BertNormalizer"


def made_of(**parts):
    state = json.loads(Tokenizer(models.BPE()).to_str())
    return Tokenizer.from_str(json.dumps(state | parts))


def test_lists_are_compared_entry_by_entry(in_node):
    lists = [(["a,b"], ["a", "b"]), (["a", "b"], ["a,b"]), (["a"], ["a", "b"]), (["a,b"], ["a,b"]), ([], [])]
    assert in_node(texts=[], lists=lists)["same"] == [one == other for one, other in lists]


def test_tokens_in_node_are_those_of_python_for_odd_characters(in_node, npm, tmp_path):
    tokenizer = PromptEOL(device="cpu").tokenizer
    write_browser_tokenizer(tmp_path / "tokenizer.json", tokenizer)
    generator = random.Random(0)
    every = [chr(code) for code in range(0x2FA20) if not 0xD800 <= code < 0xE000]
    odd = [one for one in every if unicodedata.category(one)[0] in "MPZC" or one.lower() != one]
    odd = [one for one in odd if unicodedata.category(one) not in ("Cn", "Co") and one not in LATER]
    greek = "ΣσςΑα. 1'\u0301\u0345\u00ad:İıẞ\u03f9"
    texts = [f"x{one}y {one}" for one in odd]
    texts += ["".join(generator.choices(greek, k=generator.randrange(1, 9))) for _ in range(500)]
    # Two accents that only a later Unicode knows may change places in JavaScript.
    strip = StripAccents().normalize_str
    known = [one for one in odd if unicodedata.category(one)[0] != "M" or not strip(one)]
    texts += ["".join(generator.choices(known, k=12)) for _ in range(500)]
    found = in_node(texts=texts, tokenizer=str(tmp_path / "tokenizer.json"), modules=str(npm))["ids"]
    ours = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [text for text, one, other in zip(texts, found, ours, strict=True) if one != other] == []
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [one.ids for one in again.encode_batch(texts, add_special_tokens=False)] == ours


@pytest.mark.parametrize("architecture", [None, "llama", "gpt2", "qwen2"], ids=str)
def test_vectors_in_node_are_those_of_python(in_node, modules, npm, tiny, architecture, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    model = PromptEOL(architecture and tiny(architecture), device="cpu")
    export(model, tmp_path / "out", web=True, web_libraries=modules)
    texts = [text for some in samples(ExportedPrompt(model.module.prompter)).values() for text in some] + ODD
    about = config(tmp_path / "out")
    for demonstrations in ([], [DEMONSTRATION]):
        found = in_node(
            page=about, texts=texts, demonstrations=[vars(one) for one in demonstrations], folder=str(tmp_path / "out"),
            modules=str(npm),
        )  # fmt: skip
        model.set_template(demonstrations=demonstrations)
        assert found["check"]["right"] == found["check"]["of"]
        assert found["rows"] == ExportedPrompt(model.module.prompter).rows(texts, model.max_seq_length)
        ours = unit(model.encode(texts))
        for way in ("single", "batch"):
            assert np.abs(np.array(found[way]) - ours).max() <= 4e-6
        if about["words"]:
            likely = [[word.text for word in row] for row in model.words(texts, contrast=False)]
            same = [one == other for one, other in zip(found["words"], likely, strict=True)]
            assert np.mean(same) >= 0.95  # words of equal probability change places
