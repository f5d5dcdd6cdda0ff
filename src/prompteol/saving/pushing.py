"""Push a model to the Hub: whole, in one commit, or not at all."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from prompteol.model.lexical import LexicalModel
from prompteol.saving.card import renamed
from prompteol.saving.card_sections import CardFacts
from prompteol.saving.hub import folder_files, full_name, upload

_CARD = "README.md"


class PushableModel(LexicalModel):
    """Save a model before anything is asked of the Hub, then upload what was saved."""

    def push_to_hub(
        self,
        repo_id: str,
        token: str | None = None,
        private: bool | None = None,
        safe_serialization: bool = True,
        commit_message: str | None = None,
        local_model_path: str | None = None,
        exist_ok: bool = False,
        replace_model_card: bool = False,
        train_datasets: list[str] | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Upload the model to a repository on the Hub, made where there is none; return the commit's URL.

        The arguments are those of ``SentenceTransformer.push_to_hub``; :mod:`prompteol` does four things otherwise.
        The model is saved first, so that one which cannot be saved makes no repository. There is one commit, which also
        removes what an earlier model left on the branch, and is refused where somebody else pushed meanwhile.
        ``exist_ok=True`` is needed where a model lies on the branch, not for a repository without. And ``private=True``
        refuses a repository that is public.

        Raises:
            HubError: the Hub refuses, or is not reached; the branch is as it was before, or the message says that this
                is not known.
        """
        name = full_name(repo_id, token=token)
        before = self.model_card_data.model_id
        with TemporaryDirectory() as scratch:
            folder = Path(local_model_path or scratch)
            if local_model_path is None:
                self.model_card_data.set_model_id(name)
                try:
                    self.save(str(folder), name, train_datasets=train_datasets, safe_serialization=safe_serialization)
                finally:
                    self.model_card_data.model_id = before
            files: dict[str, Path | bytes] = {**folder_files(folder)}
            if local_model_path is not None and _CARD in files:
                # It was saved under the folder's name.
                card = (folder / _CARD).read_text(encoding="utf-8", errors="surrogateescape")
                files[_CARD] = renamed(card, CardFacts(name)).encode("utf-8", "surrogateescape")
            done = upload(
                files,
                name,
                message=commit_message or f"Add new {type(self).__name__} model",
                description=f"A pull request with a model of prompteol:\n\n```\n{self}\n```" if create_pr else "",
                revision=revision,
                private=private,
                create_pr=create_pr,
                exist_ok=exist_ok,
                kept=() if replace_model_card or local_model_path else (_CARD,),
                token=token,
            )
        self.model_card_data.set_model_id(name)
        return str(done.pr_url if create_pr else done.commit_url)
