"""List the common names of columns, in lower case, by what the columns hold."""

import re

__all__ = ["FIRST", "NEGATIVE", "NO_TEXT", "POSITIVE", "SCORE", "SCORE_WORDS", "SECOND", "TEXT"]

# A text on its own.
TEXT = ("text", "sentence")
# The first text of a pair: the anchor of an example, or a query.
FIRST = (
    "anchor", "sent0", "sentence1", "sentence_1", "sentence_a", "text1", "premise", "query", "question", "question1",
    "left",
)  # fmt: skip
# The second text of a pair in which the texts belong together.
POSITIVE = (
    "positive", "sent1", "sentence2", "sentence_2", "sentence_b", "text2", "entailment", "document", "answer",
    "question2", "pos", "right",
)  # fmt: skip
# The second text of any pair. Whether a hypothesis follows from its premise is for a label to say.
SECOND = (*POSITIVE, "hypothesis")
# A hard negative. Those of miners are negative_1, hard_neg_2 and so on.
NEGATIVE = re.compile(r"(hard[_-]?)?neg(ative)?s?([_-]?\d+)?|contradiction")
# How well the texts of a pair go together.
SCORE = (
    "score", "similarity_score", "relatedness_score", "similarity", "label", "gold", "gold_label", "is_duplicate",
)  # fmt: skip
# Parts of the names of such columns.
SCORE_WORDS = frozenset(
    {
        "score", "scores", "rating", "ratings", "label", "labels", "gold", "gs", "sim", "similarity", "relatedness",
        "relevance", "human", "mean", "target", "value", "judgement", "judgment",
    }
)  # fmt: skip
# Neither a text nor a score.
NO_TEXT = ("id", "idx", "index", "uid", "source", "split")
