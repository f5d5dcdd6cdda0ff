"""Prompts: templates, demonstrations, normalization, and the chat template they compile to. Pure Python."""

from prompteol.prompts.chat_template import compile_chat_template
from prompteol.prompts.decompile import decompile_chat_template
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode
from prompteol.prompts.presets import DEMONSTRATIONS, PROMPTEOL, TEMPLATES, resolve_demonstrations, resolve_template
from prompteol.prompts.resolution import choose_prompt, keep_valid_provenance, prompts_for
from prompteol.prompts.template import AUTHORS_SLOT, PROMPT_TASKS, SLOT, PromptTask, PromptTemplate, RetrievalTemplate

__all__ = [
    "AUTHORS_SLOT",
    "DEMONSTRATIONS",
    "PROMPTEOL",
    "PROMPT_TASKS",
    "SLOT",
    "TEMPLATES",
    "Demonstration",
    "NormalizationMode",
    "PromptTask",
    "PromptTemplate",
    "RetrievalTemplate",
    "choose_prompt",
    "compile_chat_template",
    "decompile_chat_template",
    "keep_valid_provenance",
    "prompts_for",
    "resolve_demonstrations",
    "resolve_template",
]
