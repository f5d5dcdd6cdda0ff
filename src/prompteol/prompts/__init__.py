"""Prompts: templates, demonstrations, normalisation, and the chat template they compile to. Pure Python."""

from prompteol.prompts.chat_template import compile_chat_template
from prompteol.prompts.choice import choose_prompt, prompts_for, still_told
from prompteol.prompts.decompile import decompile_chat_template
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode
from prompteol.prompts.presets import DEMONSTRATIONS, PROMPTEOL, TEMPLATES, resolve_demonstrations, resolve_template
from prompteol.prompts.template import AUTHORS_SLOT, ROLES, SLOT, PromptTemplate, RetrievalTemplate, Role

__all__ = [
    "AUTHORS_SLOT",
    "DEMONSTRATIONS",
    "PROMPTEOL",
    "ROLES",
    "SLOT",
    "TEMPLATES",
    "Demonstration",
    "NormalizationMode",
    "PromptTemplate",
    "RetrievalTemplate",
    "Role",
    "choose_prompt",
    "compile_chat_template",
    "decompile_chat_template",
    "prompts_for",
    "resolve_demonstrations",
    "resolve_template",
    "still_told",
]
