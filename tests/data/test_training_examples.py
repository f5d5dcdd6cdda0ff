"""Bad data is named with its file and row, before any model is loaded."""

import json

import pytest

from prompteol.data import ScoredPairs, TrainingExamples, read_examples
from prompteol.errors import CorpusError, InputError, TrainingError
from prompteol.training import Recipe, train

GOOD = "anchor,positive,negative\nA man sings.,Someone sings.,Nobody sings.\n"


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("one.csv", "anchor\nA man sings.\n", r"one\.csv.*an anchor and a positive.*'anchor'"),
        ("headless.csv", "a,b,c,d\n1,2,3,4\n", r"headless\.csv.*--column.*'a', 'b', 'c', 'd'"),
        ("lost.csv", "sent0,hard_neg,source\na,b,c\n", r"lost\.csv.*a positive.*'sent0', 'hard_neg', 'source'"),
        ("pair.csv", "anchor,negative\na,b\n", r"pair\.csv.*--column; its columns: 'anchor', 'negative'"),
        ("id.csv", "id,text\n1,b\n", r"id\.csv.*--column; its columns: 'id', 'text'"),
        ("empty.csv", GOOD + "A dog runs., ,Nothing.\n", r"empty\.csv, line 3: positive is empty"),
        ("same.csv", GOOD + "A dog runs.,A pet runs.,A pet runs.\n", r"same\.csv, line 3: the negative equals the p"),
        (
            "self.csv",
            GOOD + "A dog runs.,A pet runs.,A dog runs. \n",
            r"self\.csv, line 3: the negative equals the a",
        ),
        (
            "other.csv",
            GOOD + "A man sings.,A man makes music.,Someone sings.\n",
            r"other\.csv, line 3: the negative 'Someone sings\.' is the positive of the same anchor in line 2",
        ),
        ("stop.csv", GOOD + "A cat,A dog runs.,A dog  runs\n", r"stop\.csv, line 3: the negative equals the positive"),
        (
            "apart.csv",
            GOOD + "A man  sings,A man makes music.,Someone sings\n",
            r"apart\.csv, line 3: the negative 'Someone sings' is the positive of the same anchor in line 2",
        ),
        ("short.csv", GOOD + "A dog runs.,A pet runs.\n", r"short\.csv', line 3: 2 fields"),
        ("none.csv", "anchor,positive\n", r"none\.csv' holds no text"),
        ("null.jsonl", json.dumps({"anchor": "a", "positive": None}), r"null\.jsonl', line 1: 'positive' should be"),
        (
            "nli.csv",
            "premise,hypothesis,label\nA man sings.,Someone sings.,entailment\n" * 2,
            r"nli\.csv': 'label' seems.*--column premise --column hypothesis$",
        ),
        ("sts.csv", "text1,text2,score\nA man sings.,Nobody sings.,0.2\n" * 2, r"sts\.csv': 'score' seems"),
        ("sim.csv", "sentence1,sentence2,score\nA man sings.,Nobody sings.,0.2\n" * 2, r"sim\.csv': 'score' seems"),
        (
            "qqp.csv",
            "question1,question2,is_duplicate\n" + "Who sings?,Who is singing?,1\n" * 2,
            r"qqp\.csv': 'is_duplicate' seems.*--column question1 --column question2$",
        ),
        (
            "upper.csv",
            "Premise,Hypothesis,Label\nA man sings.,Someone sings.,entailment\n",
            r"upper\.csv': 'Label' seems.*--column Premise --column Hypothesis$",
        ),
        (
            "sick.csv",
            "sentence_A,sentence_B,relatedness_score\na b,c d,2.1\n",
            r"sick\.csv': 'relatedness_score' seems",
        ),
        ("upper_id.csv", "ID,One,Other\n1,A man sings.,Someone sings.\n", r"upper_id\.csv.*--column.*'ID', 'One'"),
        ("bare.csv", "A man sings a song.,Someone sings.\nA dog runs.,A pet runs.\n", r"bare\.csv.*--column"),
        ("numbers.csv", "anchor,positive\na b,0.5\ne f,1\n", r"numbers\.csv': 'positive' holds '0\.5', '1', which are"),
        ("unknown.csv", "links,rechts\nA man sings.,He sings.\n", r"unknown\.csv.*--column; its columns: 'links'"),
        ("ids.csv", "uuid,body\n7f3c-a1,A man sings.\n", r"ids\.csv.*--column; its columns: 'uuid', 'body'"),
        ("alike.csv", "anchor,Anchor,positive\na b,c d,e f\n", r"alike\.csv': columns are named 'anchor' and 'Anchor'"),
        ("short.csv", "A man sings.,He sings.\nA dog runs.,A pet runs.\n", r"short\.csv.*--column.*'A man sings\.'"),
        ("plain.txt", "A man sings.\n", r"plain\.txt' is plain text; contrastive"),
        ("hard.csv", "anchor,hard_neg\na,b\n", r"hard\.csv.*--column; its columns: 'anchor', 'hard_neg'"),
        (
            "later.jsonl",
            '{"anchor": "a b", "positive": "c d"}\n{"anchor": "e", "positive": "f", "negative": "g"}\n',
            r"later\.jsonl', line 2: with the columns 'anchor', 'positive', 'negative' other ones would be read",
        ),
        (
            "scored.jsonl",
            '{"anchor": "a b", "positive": "c d"}\n{"anchor": "e", "positive": "f", "score": "1"}\n',
            r"scored\.jsonl': 'score' seems",
        ),
    ],
)
def test_bad_rows_stop_a_training_before_the_base_is_looked_at(tmp_path, name, content, message):
    path = written(tmp_path, name, content)
    with pytest.raises((CorpusError, TrainingError), match=message):
        train("/no/such/base", tmp_path / "out", path, Recipe(batch_size=2))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence1,sentence2,score\n" + "a b,c d,1\n" * 8 + "e,f,nan\n", r"dev\.csv', line 10: the score 'nan'"),
        ("id,one,two,rating\n" + "1,a b,c d,1\n" * 9, r"dev\.csv.*--dev-column.*'id', 'one', 'two', 'rating'"),
        ("sentence1,sentence2\n" + "a b,c d\n" * 9, r"dev\.csv: the development pairs have no scores"),
        ("sentence1,sentence2,score\n" + "a b,c d,1\n" * 8 + "e,,2\n", r"dev\.csv', line 10: a sentence is empty"),
    ],
)
def test_bad_development_pairs_too(tmp_path, content, message):
    data = written(tmp_path, "good.csv", GOOD * 1)
    with pytest.raises(ValueError, match=message):
        train("/no/such/base", tmp_path / "out", data, Recipe(), dev=written(tmp_path, "dev.csv", content))


def test_development_pairs_that_come_from_no_file(tmp_path):
    pairs = ScoredPairs(["a b"] * 8 + ["e"], ["c d"] * 8 + [" "], range(9), "mine")
    with pytest.raises(TrainingError, match="mine: pair 8 has an empty sentence"):
        train("/no/such/base", tmp_path / "out", written(tmp_path, "good.csv", GOOD), Recipe(), dev=pairs)


def test_the_common_names_and_forms(tmp_path):
    nli = written(tmp_path, "nli.tsv", "source\tsent0\tsent1\thard_neg\nx\tA man sings.\tSomeone sings.\tNobody.\n")
    assert dict(read_examples(nli).columns) == {
        "anchor": ["A man sings."],
        "positive": ["Someone sings."],
        "negative": ["Nobody."],
    }
    for name in ("document", "question1", "source"):
        alone = written(tmp_path, "alone.csv", f"{name}\nA man sings.\n")
        assert dict(read_examples(alone, "distillation").columns) == {"text": ["A man sings."]}
    japanese = written(tmp_path, "ja.csv", "質問,回答\n質問はこれですか,これはその答えになる文章です\n")
    assert len(read_examples(japanese, columns=["質問", "回答"])) == 1
    chosen = read_examples(nli, columns=["sent1", "sent0"], license="CC BY-SA 4.0")
    assert dict(chosen.columns) == {"anchor": ["Someone sings."], "positive": ["A man sings."]}
    assert chosen.license == "CC BY-SA 4.0"
    judged = written(tmp_path, "judged.csv", "premise,hypothesis,label\nA man sings.,Someone sings.,entailment\n")
    named = read_examples(judged, columns=["premise", "hypothesis"])
    assert dict(named.columns) == {"anchor": ["A man sings."], "positive": ["Someone sings."]}
    assert dict(read_examples(judged, "unsupervised", ["premise"]).columns) == {"text": ["A man sings."]}
    for plain in ("neg", "negatives", "negative_1", "Hard_Neg_1"):
        mined = written(tmp_path, "mined.csv", f"anchor,positive,{plain}\nA man sings.,Someone sings.,Nobody.\n")
        assert dict(read_examples(mined).columns)["negative"] == ["Nobody."]
    ranked = written(tmp_path, "ranked.csv", "anchor,positive,neg_score\nA man sings.,Someone sings.,0.83\n")
    assert list(read_examples(ranked).columns) == ["anchor", "positive"]
    several = written(tmp_path, "several.csv", "anchor,positive,negative_1,negative_2\nA b,C d,E f,G h\n")
    with pytest.raises(CorpusError, match=r"'negative_1', 'negative_2' all seem to hold negatives"):
        read_examples(several)
    labeled = written(tmp_path, "labeled.csv", "text,label\nOne.,1\n")
    assert dict(read_examples(labeled, "distillation").columns) == {"text": ["One."]}
    headless = written(tmp_path, "headless.csv", "A man sings.\nA dog runs.\n")
    with pytest.raises(CorpusError, match=r"headless\.csv': which columns hold the text.*'A man sings\.'"):
        read_examples(headless, "unsupervised")
    texts = read_examples(written(tmp_path, "texts.txt", "One.\nTwo.\n"), "unsupervised")
    assert dict(texts.columns) == {"text": ["One.", "Two."]}
    assert texts.digest != read_examples(written(tmp_path, "other.txt", "Two.\nOne.\n"), "unsupervised").digest


def test_names_without_case_and_with_blanks(tmp_path):
    swapped = written(tmp_path, "swapped.csv", "Anchor, Negative, Positive\nA man sings.,Nobody.,Someone sings.\n")
    expected = {"anchor": ["A man sings."], "positive": ["Someone sings."], "negative": ["Nobody."]}
    assert dict(read_examples(swapped).columns) == expected
    numbered = written(tmp_path, "numbered.csv", "ID,Sentence1,Sentence2\n1,A man sings.,Someone sings.\n")
    assert list(read_examples(numbered).columns.values()) == [["A man sings."], ["Someone sings."]]


def test_rows_with_one_positive_are_told(tmp_path):
    path = written(tmp_path, "twice.csv", "anchor,positive\nA b,C d\nE f,G h\nI j,C d\n")
    assert read_examples(path).repeated == [("line 2", "line 4")]
    assert TrainingExamples({"text": ["One.", "One."]}).repeated == []


def test_parquet_and_a_data_set_by_name(tmp_path, monkeypatch):
    import datasets
    import huggingface_hub

    rows = {"query": ["Who sings?"], "answer": ["A man."], "id": [7]}
    table = datasets.Dataset.from_dict(rows)
    cards = {"owner/pairs": written(tmp_path, "README.md", "---\nlicense: mit\n---\n# Pairs\n")}
    cards["owner/pairs-v1.5"] = written(tmp_path, "broken.md", "---\nlicense: [mit\n---\n# Pairs\n")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, *_, **__: cards.get(name, "/no/such/card"))
    table.to_parquet(tmp_path / "pairs.parquet")
    assert dict(read_examples(tmp_path / "pairs.parquet").columns) == {"anchor": ["Who sings?"], "positive": ["A man."]}

    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: asked.append((names, options)) or table)
    found = read_examples("owner/pairs:small")
    assert asked == [(("owner/pairs", "small"), {"split": "train"})]
    assert (found.name, found.license, len(found)) == ("owner/pairs:small", "mit", 1)
    for name in (
        "wikimedia/wikipedia:20231101.en",
        "owner/pairs-v1.5",
        "owner/pairs:small@dev",
        "owner/pairs@test[:9]",
    ):
        found = read_examples(name)
        assert (found.name, found.license) == (
            name,
            "mit" if name.startswith(("owner/pairs:", "owner/pairs@")) else None,
        )
    assert asked[1:] == [
        (("wikimedia/wikipedia", "20231101.en"), {"split": "train"}),
        (("owner/pairs-v1.5", None), {"split": "train"}),
        (("owner/pairs", "small"), {"split": "dev"}),
        (("owner/pairs", None), {"split": "test[:9]"}),
    ]
    with pytest.raises(CorpusError, match=r"no column 'text'; its columns: 'query', 'answer', 'id'"):
        read_examples("owner/pairs", "unsupervised", ["text"])


def test_a_hole_in_a_data_set_is_named(monkeypatch):
    import datasets

    table = datasets.Dataset.from_dict({"query": ["Who?"] * 6, "answer": [*["He."] * 5, None]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
    with pytest.raises(InputError, match="owner/pairs, column 'answer': text 5 is NoneType None"):
        read_examples("owner/pairs")
    with pytest.raises(InputError, match="given examples, column 'text': text 1 is int 3"):
        TrainingExamples({"text": ["One.", 3]})


def test_why_a_data_set_cannot_be_read(monkeypatch):
    import datasets

    def fails(*_, **__):
        raise fault

    monkeypatch.setattr(datasets, "load_dataset", fails)
    for fault in (
        ValueError("Config name is missing.\nPlease pick one among the available configs: ['triplet', 'pair']"),
        RuntimeError("Dataset scripts are no longer supported, but found pairs.py"),
        datasets.exceptions.DatasetGenerationError("An error occurred"),
    ):
        with pytest.raises(CorpusError, match=r"owner/pairs.*CONFIGURATION@SPLIT") as caught:
            read_examples("owner/pairs")
        assert " ".join(str(fault).split()) in str(caught.value)


def test_no_such_data_anywhere():
    with pytest.raises(CorpusError, match="no file 'owner/nothing', and a data set of that name"):
        read_examples("owner/nothing")
    with pytest.raises(CorpusError, match=r"no such file: 'folder/pairs\.JSONL'"):
        read_examples("folder/pairs.JSONL")
