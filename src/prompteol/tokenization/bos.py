"""Decide what a prompt begins with: the BOS token, or the tokens that a tokenizer puts in its place."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from prompteol.errors import TemplateError
from prompteol.prompts import Template


def resolve_bos(tokenizer: PreTrainedTokenizerBase, template: Template) -> tuple[bool, str]:
    """Return whether a template's prompts begin with BOS, and the string between BOS and the prompt.

    A chat template is tokenized without special tokens, so it must write the BOS itself wherever the tokenizer would
    have added one; some SentencePiece tokenizers then need a blank behind it. Where a tokenizer begins texts with other
    special tokens, as XGLM's does with ``</s>``, the result is ``False`` and the text of those tokens.
    """
    if template.bos is True and tokenizer.bos_token is None:
        name = tokenizer.name_or_path
        raise TemplateError(f"the template has bos=True and the tokenizer {name!r} no BOS token: leave bos=None")
    first = {None: _added(tokenizer), True: [tokenizer.bos_token_id], False: []}[template.bos]
    if not first:
        return False, ""
    bos = first == [tokenizer.bos_token_id]
    start = "".join(tokenizer.convert_ids_to_tokens(first))
    rendered = template.for_task(None).render("text")
    expected = _ids(tokenizer, rendered, special=False)
    for bos_separator in ("", " "):
        if _ids(tokenizer, f"{start}{bos_separator}{rendered}", special=False) == [*first, *expected]:
            return bos, bos_separator if bos else start + bos_separator
    if _ids(tokenizer, f"{start}{rendered}", special=False)[: len(first)] != first:
        raise TemplateError(
            f"the tokenizer {tokenizer.name_or_path!r} reads {start!r} as plain characters, so no prompt could begin "
            "with it: load it without split_special_tokens, or set bos=False in the template"
        )
    return bos, "" if bos else start


def _added(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the special tokens that the tokenizer puts in front of a text."""
    plain, whole = (_ids(tokenizer, "text", special=special) for special in (False, True))
    places = range(len(whole) - len(plain) + 1)
    front = next((whole[:place] for place in places if whole[place : place + len(plain)] == plain), None)
    # Some tokenizers tokenize the first word differently behind a special token.
    return whole[: int(whole[:1] == [tokenizer.bos_token_id])] if front is None else front


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])
