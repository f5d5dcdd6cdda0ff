"""Build a tokenizer that writes the prompt around plain text, and find the seams at which it makes the same tokens.

The token ids of the template are put around those of the text. Where a tokenizer fuses a text with its neighbors, as
GPT-2's does with a closing quote, the piece of the template next to the text is added to the text before that is
tokenized. How long these pieces must be is measured, shortest first: a text that is cut loses the one behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerBase

from prompteol.errors import ExportError
from prompteol.saving.export.prompt import ExportedPrompt
from prompteol.tokenization import tokenizer_state

# Pieces of the template that are tried at each side of the text, shortest first.
_SEAMS = 8
# Texts between which and the template a seam must hold.
_FILLERS = ("1", "A man is playing.", "the")
_AT_END = {"Regex": r"(?<=[\s\S])(?![\s\S])"}

Part = dict[str, Any] | None


@dataclass(frozen=True)
class Seam:
    """Hold a piece of the template that is tokenized with the text, and the ids of the rest of it on that side."""

    piece: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class PromptingTokenizer:
    """Hold a tokenizer that writes the prompt, and its two seams."""

    backend: Tokenizer
    before: Seam
    after: Seam

    def save(self, folder: Path, own: PreTrainedTokenizerBase, max_length: int) -> None:
        """Write ``tokenizer.json``, and a ``tokenizer_config.json`` that transformers 4 and 5 both read."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / "tokenizer.json"))
        config = {
            # The name that the class has since transformers 5 is unknown to transformers 4.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "padding_side": "right",
            "truncation_side": "right",
            # Without token types: GPT-2 would add the first token's embedding to every position.
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **{name: str(token) for name, token in own.special_tokens_map.items() if isinstance(token, str)},
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def prompting_tokenizer(prompt: ExportedPrompt, samples: Sequence[str]) -> PromptingTokenizer:
    """Return the tokenizer that makes the model's own rows of most samples; ExportError where none makes any."""
    own = prompt.prompter.tokenizer
    source = getattr(own, "backend_tokenizer", None)
    if not isinstance(source, Tokenizer):
        raise ExportError(
            f"the tokenizer {own.name_or_path!r} is {type(own).__name__}, which has no tokenizer.json to hold the "
            "prompt: load the model with its fast tokenizer"
        )
    state = tokenizer_state(source)
    backend = Tokenizer.from_str(source.to_str())
    backend.no_truncation()
    backend.no_padding()
    expected = prompt.rows(samples)
    pairs = sorted(
        ((before, after) for before in _seams_before(prompt) for after in _seams_after(prompt)),
        key=lambda pair: len(pair[0].piece) + len(pair[1].piece),
    )
    best: tuple[float, int, Seam, Seam] | None = None
    for before, after in pairs:
        for way, change in enumerate(_WAYS):
            _set_normalizer(backend, state, prompt, before, after, change)
            rows = (encoding.ids for encoding in backend.encode_batch(list(samples), add_special_tokens=False))
            hits = [[*before.ids, *ids, *after.ids] == row for ids, row in zip(rows, expected, strict=True)]
            share = sum(hits) / len(hits)
            if best is None or share > best[0]:
                best = (share, way, before, after)
        if best is not None and best[0] == 1:
            break
    if best is None or not best[0]:
        raise ExportError(
            f"no place was found where the template {str(prompt.template)!r} can be parted from the text without other "
            f"tokens of {own.name_or_path!r}: serve the saved model and let the client write the prompt"
        )
    _, way, before, after = best
    _set_normalizer(backend, state, prompt, before, after, _WAYS[way])
    backend.post_processor = _part("post_processor", _post_processor(backend, before.ids, after.ids))
    return PromptingTokenizer(backend, before, after)


def _seams_before(prompt: ExportedPrompt) -> list[Seam]:
    """Return where the front of the template may be cut: nowhere near the text, at blanks, or not at all."""
    head, found = prompt.head, []
    start = len(prompt.prompter.start)
    whole = [prompt.ids(head + filler + prompt.template.suffix) for filler in _FILLERS]
    for cut in [*_cuts(head, start, from_end=True), start]:
        ids = prompt.ids(head[:cut])
        if all(row[: len(ids)] == ids for row in whole):
            found.append(Seam(head[cut:], tuple(ids)))
    return found


def _seams_after(prompt: ExportedPrompt) -> list[Seam]:
    """Return where the end of the template may be cut; some of it stays, as a cut text must not lose it."""
    head, suffix, found = prompt.head, prompt.template.suffix, []
    for cut in _cuts(suffix, 0, from_end=False):
        pairs = [(prompt.ids(head + filler + suffix[:cut]), prompt.ids(head + filler + suffix)) for filler in _FILLERS]
        endings = {tuple(whole[len(begun) :]) if whole[: len(begun)] == begun else () for begun, whole in pairs}
        if len(endings) == 1 and () not in endings:
            found.append(Seam(suffix[:cut], endings.pop()))
    return found


def _cuts(text: str, start: int, *, from_end: bool) -> list[int]:
    """Return the outer end, then the places beside blanks, nearest first."""
    places = [at for at in range(start + 1, len(text)) if text[at] == " " or text[at - 1] == " "]
    return [len(text), *places[::-1]][:_SEAMS] if from_end else [0, *places][:_SEAMS]


def _set_normalizer(
    backend: Tokenizer,
    state: dict[str, Any],
    prompt: ExportedPrompt,
    before: Seam,
    after: Seam,
    change: Callable[[Part], Part],
) -> None:
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"Regex": old} if len(old) > 1 else {"String": old}, "content": new}
        for old, new in prompt.template.rewrites
    ]
    # Not by a pattern of no width at the start, after which tokenizers' NFC and NFD panic.
    steps += [{"type": "Prepend", "prepend": before.piece}] * bool(before.piece)
    steps += [{"type": "Replace", "pattern": _AT_END, "content": after.piece}] * bool(after.piece)
    own = change(state["normalizer"])
    if own is not None:
        steps.append(own)
    backend.normalizer = _part("normalizer", {"type": "Sequence", "normalizers": steps}) if steps else None
    pre_tokenizer = change(state["pre_tokenizer"])
    if pre_tokenizer is not None:
        backend.pre_tokenizer = _part("pre_tokenizer", pre_tokenizer)


def _part(name: str, record: dict[str, Any]) -> Any:
    """Make a part of a tokenizer from its JSON, which only a whole tokenizer reads."""
    empty = json.loads(Tokenizer(models.BPE()).to_str())
    return getattr(Tokenizer.from_str(json.dumps({**empty, name: record})), name)


def _post_processor(backend: Tokenizer, head: Sequence[int], tail: Sequence[int]) -> dict[str, Any]:
    """Write the ids around those of the text, an item each with the token's own string, as transformers.js wants."""
    names = {number: backend.id_to_token(number) for number in (*head, *tail)}

    def around(sequence: str) -> Iterator[dict[str, Any]]:
        yield from ({"SpecialToken": {"id": names[number], "type_id": 0}} for number in head)
        yield {"Sequence": {"id": sequence, "type_id": 0}}
        yield from ({"SpecialToken": {"id": names[number], "type_id": 0}} for number in tail)

    return {
        "type": "TemplateProcessing",
        "single": list(around("A")),
        "pair": [*around("A"), *around("B")],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for number, name in names.items()},
    }


def _as_it_is(part: Part) -> Part:
    return part


def _without_start(part: Part) -> Part:
    """Drop what marks the start of a string, where the text no longer stands."""
    if part is None or part["type"] == "Prepend":
        return None
    if part["type"] == "Metaspace":
        return {**part, "prepend_scheme": "never"}
    for inner in ("normalizers", "pretokenizers"):
        if inner in part:
            kept = [changed for one in part[inner] if (changed := _without_start(one)) is not None]
            return {**part, inner: kept} if kept else None
    return part


def _without_blank(part: Part) -> Part:
    """Drop the blank that a byte-level pre-tokenizer puts in front, too."""
    part = _without_start(part)
    if part is not None and part["type"] == "ByteLevel":
        return {**part, "add_prefix_space": False}
    if part is not None and "pretokenizers" in part:
        return {**part, "pretokenizers": [_without_blank(one) for one in part["pretokenizers"]]}
    return part


_WAYS: tuple[Callable[[Part], Part], ...] = (_without_start, _without_blank, _as_it_is)
