"""Build prompts from templates, demonstrations and normalized texts, and compile them to a chat template."""

from prompteol.prompts.chat_template import compile_chat_template, decompile_chat_template
from prompteol.prompts.demonstration import Demonstration
from prompteol.prompts.normalization import NormalizationMode
from prompteol.prompts.presets import (
    DEMONSTRATIONS,
    PROMPTEOL,
    TEMPLATES,
    DemonstrationsLike,
    TemplateLike,
    choose_prompt,
    keep_valid_provenance,
    prompt_of_task,
    prompts_for,
    register_template,
    resolve_demonstrations,
    resolve_template,
)
from prompteol.prompts.template import (
    AUTHORS_SLOT,
    PROMPT_TASKS,
    SLOT,
    PromptTask,
    PromptTemplate,
    RetrievalTemplate,
    Template,
)

__all__ = [
    "AUTHORS_SLOT", "DEMONSTRATIONS", "PROMPTEOL", "PROMPT_TASKS", "SLOT", "TEMPLATES", "Demonstration",
    "DemonstrationsLike", "NormalizationMode", "PromptTask", "PromptTemplate", "RetrievalTemplate", "Template",
    "TemplateLike", "choose_prompt", "compile_chat_template", "decompile_chat_template", "keep_valid_provenance",
    "prompt_of_task", "prompts_for", "register_template", "resolve_demonstrations", "resolve_template",
]  # fmt: skip
