"""``encode`` writes what ``PromptEOL.encode`` returns, a row a text, and refuses what it cannot do before it starts."""

import builtins
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from prompteol import PromptEOL
from prompteol.embedder.long_texts import LongTextWarning

DEMONSTRATION = ("A jockey riding a horse.", "Equestrian")


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.fixture(scope="module")
def model(base):
    return PromptEOL(base, device="cpu")


def test_an_array_has_a_row_for_each_line_in_order(prompteol, model, base, sentences, tmp_path):
    result = prompteol("encode", sentences, "-o", tmp_path / "v.npy", "-m", base, "--device", "cpu", "-b", 2)

    assert result.exit_code == 0, result.output
    assert "v.npy: 3 vectors of 32 dimensions" in result.stderr
    assert result.stdout == ""
    close(np.load(tmp_path / "v.npy"), model.encode(sentences.read_text().splitlines()))


def test_chunks_of_any_size_give_the_same_rows(prompteol, model, base, tmp_path):
    lines = [f"Sentence {number} of a long file." for number in range(40)]
    (tmp_path / "long.txt").write_text("\n".join(lines))

    # 16 texts a chunk, so three chunks, the last one short.
    result = prompteol("encode", tmp_path / "long.txt", "-o", tmp_path / "v.npy", "-m", base, "-b", 1)

    assert result.exit_code == 0, result.output
    close(np.load(tmp_path / "v.npy"), model.encode(lines))


def test_several_files_follow_one_another_in_a_parquet_table(prompteol, model, base, sentences, tmp_path):
    (tmp_path / "more.jsonl").write_text('{"title": "Sweet &amp; {{ salty }}"}\n')
    (tmp_path / "more.csv").write_text('id,title\n1,"Two\nlines"\n')

    result = prompteol(
        "encode", tmp_path / "more.jsonl", tmp_path / "more.csv", "--column", "title",
        "-o", tmp_path / "v.parquet", "-m", base,
    )  # fmt: skip
    table = pq.read_table(tmp_path / "v.parquet")

    assert result.exit_code == 0, result.output
    assert table.column("text").to_pylist() == ["Sweet &amp; {{ salty }}", "Two\nlines"]
    close(np.array(table.column("embedding").to_pylist()), model.encode(table.column("text").to_pylist()))


def test_a_pipe_in_gives_json_lines_out(prompteol, model, base):
    result = prompteol("encode", "-", "-o", "-", "-m", base, input="é one\ntwo\n")
    records = [json.loads(line) for line in result.stdout.splitlines()]

    assert result.exit_code == 0, result.output
    assert [record["text"] for record in records] == ["é one", "two"]
    close(np.array([record["embedding"] for record in records]), model.encode(["é one", "two"]))


def test_the_prompt_is_the_one_asked_for(prompteol, base, sentences, tmp_path):
    result = prompteol(
        "encode", sentences, "-o", tmp_path / "v.npy", "-m", base, "--normalize",
        "--template", 'The topic of "{text}" is:"', "--demonstration", "=>".join(DEMONSTRATION), "--layer", "0.5",
    )  # fmt: skip
    model = PromptEOL(base, template='The topic of "{text}" is:"', demonstrations=[DEMONSTRATION], layer=0.5)
    expected = model.encode(sentences.read_text().splitlines(), normalize_embeddings=True)

    assert result.exit_code == 0, result.output
    close(np.load(tmp_path / "v.npy"), expected)


def test_the_numbers_of_a_model_in_half_precision_are_whole(prompteol, base, sentences, tmp_path, monkeypatch):
    half = PromptEOL(base, device="cpu", model_kwargs={"dtype": "float16"})
    monkeypatch.setattr("prompteol.cli.encode.load_model", lambda *_, **__: half)
    prompteol("encode", sentences, "-o", tmp_path / "v.jsonl")
    lines = [json.loads(line)["embedding"] for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    expected = half.encode(sentences.read_text().splitlines())
    assert expected.dtype == np.float16
    assert lines == [[float(str(np.float32(number))) for number in row] for row in expected]


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_role_takes_its_own_template(prompteol, base, sentences, tmp_path, task):
    result = prompteol("encode", sentences, "-o", tmp_path / "v.npy", "-m", base, "-t", "promptreps", "--role", task)
    model = PromptEOL(base, template="promptreps")
    lines = sentences.read_text().splitlines()
    tasks = {"query": model.encode_query(lines), "document": model.encode_document(lines)}

    assert result.exit_code == 0, result.output
    assert not np.allclose(tasks["query"], tasks["document"], atol=1e-3)
    close(np.load(tmp_path / "v.npy"), tasks[task])


def test_without_a_model_the_one_that_ships_is_used(prompteol, sentences, tmp_path):
    result = prompteol("encode", sentences, "-o", tmp_path / "v.npy")

    assert result.exit_code == 0, result.output
    close(np.load(tmp_path / "v.npy"), PromptEOL().encode(sentences.read_text().splitlines()))


def test_a_text_too_long_for_one_vector_is_mentioned_once(prompteol, base, tmp_path):
    (tmp_path / "long.txt").write_text("word " * 400 + "\n" + "word " * 500 + "\n")

    with pytest.warns(LongTextWarning) as warnings:
        result = prompteol("encode", tmp_path / "long.txt", "-o", tmp_path / "v.npy", "-m", base)

    assert result.exit_code == 0, result.output
    assert [warning.category for warning in warnings].count(LongTextWarning) == 1


def test_nothing_is_overwritten_unless_told(prompteol, base, sentences, tmp_path):
    output = tmp_path / "v.npy"
    output.write_text("precious")

    refused = prompteol("encode", sentences, "-o", output, "-m", base)
    kept = output.read_text()
    replaced = prompteol("encode", sentences, "-o", output, "-m", base, "--force")

    assert (refused.exit_code, kept) == (2, "precious")
    assert "add --force" in refused.stderr
    assert replaced.exit_code == 0, replaced.output
    assert np.load(output).shape == (3, 32)


def test_force_never_replaces_the_input(prompteol, base, tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "a"}\n')

    result = prompteol("encode", source, "-o", source, "-m", base, "--force")

    assert result.exit_code == 2
    assert "read and written at once" in result.stderr
    assert source.read_text() == '{"text": "a"}\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.txt", "-o", "v.npy"], "no such file: 'nowhere.txt'"),
        (["a text " * 50, "-o", "v.npy"], "no such file: 'a text a text"),
        (["{sentences}", "-o", "v.pkl"], "ends in .npy, .parquet or .jsonl"),
        (["{sentences}", "-o", "nowhere/v.npy"], "does not exist; make it first"),
        (["{sentences}", "-o", "v.npy", "--column", "text"], "has no columns"),
        (["{sentences}", "-o", "v.npy", "--demonstration", "no arrow"], '"no arrow"|no preset'),
        (["{sentences}", "-o", "v.npy", "--template", "no slot"], "no slot"),
        (["{sentences}", "-o", "v.npy", "--layer", "last"], "'last' is neither a layer such as -2"),
        (["{sentences}", "-o", "v.npy", "--layer", "-9"], "layer"),
        (["{sentences}", "-o", "v.npy", "-m", "./nowhere"], "nowhere"),
        (["{sentences}", "-o", "v.npy", "--device", "abacus"], "--device 'abacus' cannot be used here"),
    ],
)
def test_a_mistake_is_answered_in_one_line_with_exit_code_2(
    prompteol, base, sentences, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.replace("{sentences}", str(sentences)) for argument in arguments]
    model = [] if "-m" in arguments else ["-m", base]

    result = prompteol("encode", *arguments, *model)

    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert any(part in result.stderr for part in said.split("|"))
    assert [path.name for path in tmp_path.iterdir()] == ["sentences.txt"]


def test_a_fault_in_the_last_line_is_found_before_the_model_loads(prompteol, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\n" * 1000 + b"\xff\n")

    result = prompteol("encode", tmp_path / "a.txt", "-o", tmp_path / "v.npy", "-m", "./no-such-model")

    assert result.exit_code == 2
    assert "line 1001: byte 0xff is not UTF-8" in result.stderr


def test_without_pyarrow_parquet_names_the_extra(prompteol, base, sentences, tmp_path, monkeypatch):
    import_module = builtins.__import__

    def without_pyarrow(name, *arguments, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return import_module(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    result = prompteol("encode", sentences, "-o", tmp_path / "v.parquet", "-m", base)

    assert result.exit_code == 2
    assert 'pip install "prompteol[parquet]"' in result.stderr


def test_a_vector_that_is_not_finite_is_an_error_and_leaves_no_file(prompteol, base, sentences, tmp_path):
    broken = PromptEOL(base, device="cpu")
    next(broken.module.transformer.model.parameters()).data.fill_(float("nan"))
    broken.save_pretrained(str(tmp_path / "broken"))

    result = prompteol("encode", sentences, "-o", tmp_path / "v.npy", "-m", tmp_path / "broken")

    assert result.exit_code == 2
    assert "in the 3 texts from row 0 on" in result.stderr
    assert not (tmp_path / "v.npy").exists()
