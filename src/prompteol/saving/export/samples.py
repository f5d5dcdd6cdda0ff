"""List texts of each kind that an exported model is compared on."""

from __future__ import annotations

from prompteol.saving.export.prompt import ExportedPrompt

_ORDINARY = (
    "A man is playing a guitar.", "Two dogs run in the snow", "Why does the sea rise and fall?", "the cat sat",
    "Stop!", "1", "42 is the answer", "It costs 3,50 € (about $4).", 'He said "never again"', "'single' quotes'",
    "“Curly quotes”", "It's the dogs' bowl, isn't it?", "a", "I", ".", "?", "!", '"', "'", '".', '?"', "...", "…",
    "ends in a colon:", "ends in a comma,", "ends in a dash -", "(in parentheses)", "[in brackets]", "{braces}", "50%",
    "photo.png", "https://example.org/a?b=c#d", "someone@example.org", "#hashtag @name", "C++ and C#", "x_1 = y**2",
    "  blanks around  ", "blanks   within\tand tabs", "one line\nand another\n", "NO-BREAK\u00a0SPACE",
    "Élan vital, naïve café", "e\u0301lan de\u0301compose\u0301", "Straße", "Привет, мир!", "Γειά σου Κόσμε",
    "今天天气很好。", "東京は晴れです", "오늘은 날씨가 좋다.", "مرحبا بالعالم؟", "नमस्ते दुनिया।", "😀",
    "Well done 👍🏽!", "👨‍👩‍👧‍👦",
    "A longer sentence, which goes on for a while; it has clauses, commas, and at last - after a dash - it ends.",
    "The president of the country, who was elected in 2008, gave a speech about the economy on Tuesday evening.",
)  # fmt: skip
_BLANK = ("", " ", "\n\t ")
_SUBJECTS = ("The river", "A child in the garden", "Every second train", "Nobody in the old house", "The committee")
_ACTIONS = ("moves slowly past the mill", "sings of the sea", "is late again", "remembers the war", "votes tomorrow")


def samples(prompt: ExportedPrompt) -> dict[str, list[str]]:
    """Return texts by kind: ordinary ones, blank ones, and some with the literal text of special tokens in them."""
    found: dict[str, list[str]] = {"ordinary": [], "blank": [], "special": []}
    special = list(dict.fromkeys(prompt.prompter.tokenizer.all_special_tokens))[:4]
    with_special = [text for token in special for text in (f"{token} A man sings.", f"A {token} man sings{token}")]
    for text in (*_ORDINARY, *_BLANK, *with_special):
        found[prompt.kind(text)].append(text)
    return found


def long_texts(prompt: ExportedPrompt, max_length: int) -> list[str]:
    """Return texts whose prompts have more than ``max_length`` tokens."""
    sentences = [f"{subject} {action}. " for subject in _SUBJECTS for action in _ACTIONS]

    def long(start: int) -> str:
        text = ""
        while len(prompt.rows([text])[0]) <= max_length:
            some = "".join(sentences[(start + step) % len(sentences)] for step in range(0, 50, 7))
            text += some * (1 + len(text) // 200)
        return text

    return [long(start) for start in range(4)]
