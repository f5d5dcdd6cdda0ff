"""The folder of a training: its checkpoints, and what must be the same for a training to be resumed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import TrainerState

from prompteol.errors import TrainingError
from prompteol.files import atomic_write
from prompteol.model import MANIFEST

__all__ = ["Workspace", "checkpoint_step", "read_state"]

_NAME = re.compile(r"checkpoint-(\d+)")
_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Workspace:
    """What a training keeps beside the model while it runs.

    Args:
        out: the folder of the result.
    """

    out: Path

    @property
    def checkpoints(self) -> Path:
        """The folder that holds ``checkpoint-50``, ``checkpoint-100`` and so on, each of the portable form."""
        return self.out / "checkpoints"

    @property
    def curve(self) -> Path:
        """Loss and score by step, as JSON lines."""
        return self.out / "curve.jsonl"

    @property
    def vectors(self) -> Path:
        """The teacher's vectors."""
        return self.out / "teacher.safetensors"

    @property
    def record(self) -> Path:
        """The recipe and the data, so that a training is resumed with the same ones."""
        return self.out / "training.json"

    def check(self, *, resume: bool) -> Mapping[str, Any] | None:
        """Return what is known of a training in the folder that has come to a checkpoint, or ``None``.

        One that never came to a checkpoint leaves nothing to be resumed, so another one may begin there.

        Raises:
            TrainingError: there are other files, a training that was not asked to be resumed, or a model whose
                checkpoints were removed; or the folder cannot be made.
        """
        self._check_writable()
        known = self._known()
        if known is None and self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise TrainingError(f"{str(self.out)!r} holds other files; name a folder that does not exist")
        # Nothing is removed here: another process may be writing a checkpoint just now.
        if known is None or not any(map(_is_whole, self._numbered())):
            if (self.out / MANIFEST).exists():
                raise TrainingError(f"{str(self.out)!r} holds a finished model; name another folder")
            return None
        if not resume:
            raise TrainingError(
                f"{str(self.out)!r} holds a training already: add --resume (resume=True) to go on with it, or name "
                "another folder"
            )
        return known

    def begin(self, about: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder, or make sure that the training in it is this one.

        Raises:
            TrainingError: as for :meth:`check`, or there is another training.
        """
        known = self.check(resume=resume)
        if known is None:
            with self.kept_on_failure():
                self.checkpoints.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.record) as partial:
                partial.write_text(json.dumps(dict(about), indent=2) + "\n", encoding="utf-8")
            return
        changed = sorted(name for name in known.keys() | about.keys() if known.get(name) != about.get(name))
        if changed:
            listed = "; ".join(f"{name} was {known.get(name)!r}, now it is {about.get(name)!r}" for name in changed)
            raise TrainingError(
                f"{str(self.out)!r} holds another training: its {listed}. Resume with the old, or name another folder"
            )

    @contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Say of a disk that fails that the training can go on from where it was."""
        try:
            yield
        except (OSError, SafetensorError, RuntimeError) as error:
            # torch.save has no error of its own for a file that cannot be written; an unfinished checkpoint tells.
            if isinstance(error, RuntimeError) and all(map(_is_whole, self._numbered())):
                raise
            raise TrainingError(
                f"{str(self.out)!r}: {' '.join(str(error).split())}. Mend that, and go on from the last whole "
                "checkpoint, or from the start, with --resume (resume=True)"
            ) from error

    def last(self) -> Path | None:
        """Return the last whole checkpoint, and remove any that a kill left unfinished.

        The trainer writes its state last, so a checkpoint without a readable one is not whole. Where the folder was
        moved, the state is told where its best checkpoint lies now.
        """
        for path in reversed(self._numbered()):
            if _is_whole(path):
                self._relocate(path)
                return path
            shutil.rmtree(path)
        return None

    def _numbered(self) -> list[Path]:
        found = self.checkpoints.iterdir() if self.checkpoints.is_dir() else ()
        steps = {path: match for path in found if (match := _NAME.fullmatch(path.name))}
        return sorted(steps, key=lambda path: int(steps[path][1]))

    def _relocate(self, checkpoint: Path) -> None:
        state = read_state(checkpoint)
        here = self.checkpoints / Path(state.best_model_checkpoint or "").name
        if state.best_model_checkpoint and here != Path(state.best_model_checkpoint) and here.is_dir():
            state.best_model_checkpoint = str(here)
            with atomic_write(checkpoint / _STATE) as partial:
                state.save_to_json(str(partial))

    def _check_writable(self) -> None:
        parent = next(path for path in (self.out, *self.out.absolute().parents) if os.path.exists(path))
        if parent != self.out and not parent.is_dir():
            raise TrainingError(f"cannot make the folder {str(self.out)!r}: {str(parent)!r} is a file")
        wanted = os.W_OK | os.X_OK | (os.R_OK if parent == self.out else 0)
        if parent.is_dir() and not os.access(parent, wanted):
            raise TrainingError(f"cannot write the folder {str(self.out)!r}: no permission in {str(parent)!r}")

    def _known(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise TrainingError(f"{str(self.record)!r} is damaged: {error}; name another folder") from error
        return record


def read_state(checkpoint: Path) -> TrainerState:
    """Return what a whole checkpoint remembers of its training."""
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / _STATE))
    return state


def checkpoint_step(checkpoint: str | Path) -> int:
    """Return the step that a checkpoint's name says."""
    match = _NAME.fullmatch(Path(checkpoint).name)
    if match is None:
        raise TrainingError(f"{str(checkpoint)!r} is no checkpoint; expected a name such as checkpoint-50")
    return int(match[1])


def _is_whole(checkpoint: Path) -> bool:
    try:
        read_state(checkpoint)
    except (OSError, ValueError, TypeError):
        return False
    return True
