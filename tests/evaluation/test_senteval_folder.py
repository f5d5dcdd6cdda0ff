"""Every format of SentEval is read, a missing file is missing, a damaged one is named with its line."""

import hashlib
import shutil

import pytest

from prompteol.errors import EvaluationError
from prompteol.evaluation import TASKS, SentEvalFolder, parse_tasks
from prompteol.evaluation.tasks import TaskNotFoundError


def load(folder, name):
    return SentEvalFolder(folder).load(TASKS[name])


@pytest.mark.parametrize(
    ("task", "pairs"),
    [("STS12", 5 * 24), ("STS13", 3 * 24), ("STS15", 5 * 22), ("STS16", 5 * 22), ("STS-B", 30), ("SICK-R-dev", 30)],
)
def test_pairs_are_counted_and_unscored_ones_left_out(whole_senteval, task, pairs):
    data = load(whole_senteval, task)
    assert sum(len(subset.gold) for subset in data.subsets) == pairs
    assert len(data.sentences()) == 2 * pairs


def test_a_pair_keeps_its_own_score_when_an_unscored_one_stands_before_it(whole_senteval):
    folder = whole_senteval / "STS/STS15-en-test"
    subset = load(whole_senteval, "STS15").subsets[0]
    line = (folder / f"STS.input.{subset.subset}.txt").read_text().split("\n")[4]
    gold = (folder / f"STS.gs.{subset.subset}.txt").read_text().split("\n")[4]
    assert (subset.first[3], subset.second[3]) == tuple(line.split("\t"))
    assert subset.gold[3] == float(gold)


@pytest.mark.parametrize(
    ("task", "splits"),
    [
        ("MR", {"all": 60}),
        ("CR", {"all": 12}),
        ("SUBJ", {"all": 12}),
        ("MPQA", {"all": 12}),
        ("SST2", {"train": 60, "dev": 20, "test": 24}),
        ("TREC", {"train": 72, "test": 24}),
        ("MRPC", {"train": 60, "test": 24}),
    ],
)
def test_splits_are_read_whole(whole_senteval, task, splits):
    data = load(whole_senteval, task)
    assert {name: len(examples.labels) for name, examples in data.splits.items()} == splits
    columns = 2 if task == "MRPC" else 1
    assert all(len(examples.columns) == columns for examples in data.splits.values())


def test_the_first_file_is_the_positive_class(whole_senteval):
    examples = load(whole_senteval, "MR").splits["all"]
    first = (whole_senteval / "MR/rt-polarity.pos").read_text().split("\n")[0]
    assert (examples.columns[0][0], examples.labels[0], examples.labels[-1]) == (first, 1, 0)


def test_trec_is_latin_1_with_coarse_labels(whole_senteval):
    examples = load(whole_senteval, "TREC").splits["train"]
    assert "café" in examples.columns[0][0]
    assert set(examples.labels) == {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}


def test_parts_are_the_sha256_of_the_files(whole_senteval):
    parts = load(whole_senteval, "STS-B").parts
    content = (whole_senteval / "STS/STSBenchmark/sts-test.csv").read_bytes()
    assert parts == {"STS/STSBenchmark/sts-test.csv": hashlib.sha256(content).hexdigest()}


def test_sts_folders_may_lie_in_the_folder_itself(senteval):
    whole = load(senteval, "STS13")
    for child in (senteval / "STS").iterdir():
        shutil.move(child, senteval / child.name)
    assert load(senteval, "STS13").subsets == whole.subsets


def test_windows_line_ends_and_odd_separators_change_nothing(senteval):
    path = senteval / "STS/STSBenchmark/sts-test.csv"
    whole = load(senteval, "STS-B")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(senteval, "STS-B").subsets == whole.subsets
    path.write_text(path.read_text().replace("the ", "the\u2028", 1), encoding="utf-8")
    assert "\u2028" in load(senteval, "STS-B").subsets[0].first[0]


def test_a_missing_file_is_named(senteval):
    (senteval / "STS/STS14-en-test/STS.gs.images.txt").unlink()
    with pytest.raises(TaskNotFoundError, match=r"STS14-en-test/STS\.gs\.images\.txt"):
        load(senteval, "STS14")


DAMAGE = {
    "score": ("STS12", "STS/STS12-en-test/STS.gs.MSRvid.txt", 7, "abc", "a score from 0 to 5"),
    "nan": ("STS12", "STS/STS12-en-test/STS.gs.MSRvid.txt", 7, "nan", "a score from 0 to 5"),
    "range": ("STS-B", "STS/STSBenchmark/sts-test.csv", 2, "m\tg\t2012\t1\t7.5\ta b\tc d", "a score from 0 to 5"),
    "tab": ("STS14", "STS/STS14-en-test/STS.input.OnWN.txt", 24, "only one sentence", "2 filled columns"),
    "half": ("STS16", "STS/STS16-en-test/STS.input.headlines.txt", 1, "a sentence\t ", "2 filled columns"),
    "sick": ("SICK-R", "SICK/SICK_test_annotated.txt", 3, "2\tone sentence", "4 filled columns"),
    "sst label": ("SST2", "SST/binary/sentiment-dev", 5, "fine\t2", "one of the labels 0, 1"),
    "trec label": ("TREC", "TREC/train_5500.label", 9, "FOOD:fine what ?", "one of the labels ABBR"),
    "trec text": ("TREC", "TREC/TREC_10.label", 2, "NUM:count", "LABEL:detail question"),
    "mrpc": ("MRPC", "MRPC/msr_paraphrase_train.txt", 4, "1\t2\t3\tonly one", "5 filled columns"),
}


@pytest.mark.parametrize(("task", "file", "line", "text", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named_with_its_line(senteval, task, file, line, text, expected):
    path = senteval / file
    lines = path.read_text(encoding="latin-1").split("\n")
    lines[line - 1] = text
    path.write_text("\n".join(lines), encoding="latin-1")
    with pytest.raises(EvaluationError) as caught:
        load(senteval, task)
    assert f"{path}, line {line}: " in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize(("task", "file"), [("MR", "MR/rt-polarity.pos"), ("SICK-R", "SICK/SICK_test_annotated.txt")])
def test_a_wide_encoding_is_read_by_its_mark(senteval, task, file, encoding):
    before = load(senteval, task)
    path = senteval / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text, encoding=encoding)
    after = load(senteval, task)
    before.parts.clear()
    after.parts.clear()
    assert after == before

    path.write_text(text, encoding=f"{encoding}-le")
    with pytest.raises(EvaluationError, match=r", line 1: expected no NUL byte"):
        load(senteval, task)
    path.write_bytes(path.read_text(encoding=f"{encoding}-le").encode(encoding)[:-1])
    with pytest.raises(EvaluationError, match="damaged UTF"):
        load(senteval, task)


def test_a_gold_file_of_another_length_is_damaged(senteval):
    path = senteval / "STS/STS13-en-test/STS.gs.OnWN.txt"
    path.write_text("\n".join(path.read_text().split("\n")[:10]) + "\n")
    with pytest.raises(EvaluationError, match=r"STS\.gs\.OnWN\.txt, line 11: .*24 pairs.*'10 lines'"):
        load(senteval, "STS13")


EMPTY = {
    "sts input": ("STS13", "STS/STS13-en-test/STS.input.FNWN.txt", 0),
    "sts benchmark": ("STS-B", "STS/STSBenchmark/sts-test.csv", 0),
    "sick, no head": ("SICK-R", "SICK/SICK_test_annotated.txt", 0),
    "sick, the head alone": ("SICK-R", "SICK/SICK_test_annotated.txt", 1),
    "one class": ("MR", "MR/rt-polarity.pos", 0),
    "the other class": ("MPQA", "MPQA/mpqa.neg", 0),
    "sst dev": ("SST2", "SST/binary/sentiment-dev", 0),
    "trec test": ("TREC", "TREC/TREC_10.label", 0),
    "mrpc, the head alone": ("MRPC", "MRPC/msr_paraphrase_test.txt", 1),
}


@pytest.mark.parametrize(("task", "file", "lines"), EMPTY.values(), ids=EMPTY)
def test_a_file_without_examples_is_damaged(senteval, task, file, lines):
    path = senteval / file
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
    if task == "STS13":
        path.with_name("STS.gs.FNWN.txt").write_bytes(b"")
    with pytest.raises(EvaluationError) as caught:
        load(senteval, task)
    assert f"{path}, line {lines + 1}: expected at least one example; found 'the end of the file'" in str(caught.value)


@pytest.mark.parametrize(
    ("task", "file"), [("SICK-R", "SICK/SICK_test_annotated.txt"), ("MRPC", "MRPC/msr_paraphrase_train.txt")]
)
def test_a_file_without_its_header_loses_no_example(senteval, task, file):
    path = senteval / file
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(EvaluationError, match=r"line 1: expected the names of the columns"):
        load(senteval, task)


def test_a_subset_that_nobody_judged_is_damaged(senteval):
    path = senteval / "STS/STS16-en-test/STS.gs.headlines.txt"
    path.write_text("\n" * 24)
    with pytest.raises(EvaluationError, match=r"STS\.gs\.headlines\.txt, line 1: expected at least one score"):
        load(senteval, "STS16")


@pytest.mark.parametrize("task", ["STS12", "STS13", "STS14"])
def test_a_blank_score_is_damage_where_every_pair_was_judged(senteval, task):
    path = next((senteval / f"STS/{task}-en-test").glob("STS.gs.*.txt"))
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:4], " ", *lines[5:]]))
    with pytest.raises(EvaluationError, match=r"line 5: expected a score from 0 to 5; found ' '"):
        load(senteval, task)


@pytest.mark.parametrize("file", ["MR/rt-polarity.neg", "SUBJ/subj.subjective"])
def test_a_blank_line_is_no_sentence(senteval, file):
    path = senteval / file
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:2], "\t", *lines[2:]]))
    with pytest.raises(EvaluationError, match=r"line 3: expected a sentence; found '\\t'"):
        load(senteval, file.partition("/")[0])


@pytest.mark.parametrize("file", ["CR/custrev.pos", "MPQA/mpqa.neg"])
def test_an_empty_example_counts_where_sentevals_own_files_may_have_one(senteval, file):
    path = senteval / file
    path.write_text("\n" + path.read_text())
    examples = load(senteval, file.partition("/")[0]).splits["all"]
    assert examples.columns[0].count("") == 1
    assert len(examples.labels) == 13


def test_bytes_that_are_no_utf8_are_damage(senteval):
    path = senteval / "STS/STS12-en-test/STS.input.MSRpar.txt"
    lines = path.read_bytes().split(b"\n")
    lines[2] = b"caf\xe9\ttea"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(EvaluationError, match=r"MSRpar\.txt, line 3: expected UTF-8"):
        load(senteval, "STS12")


def test_no_folder():
    with pytest.raises(EvaluationError, match="'nowhere' is no folder"):
        SentEvalFolder("nowhere")


def test_names_of_tasks_and_groups():
    assert [task.name for task in parse_tasks(["transfer", "stsb", "Sts12"])][:3] == ["STS12", "STS-B", "MR"]
    assert len(parse_tasks(["all"])) == 14
    assert [task.name for task in parse_tasks(["dev"])] == ["STS-B-dev", "SICK-R-dev"]
    with pytest.raises(EvaluationError, match=r"no task is called 'STS17'.*STS12.*MRPC"):
        parse_tasks(["STS17"])
