"""Manage the folder of a training: its checkpoints, and the record that a resume must match."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import TrainerState

from prompteol.errors import TrainingError
from prompteol.files import atomic_write, write_text
from prompteol.files.model_folders import MANIFEST
from prompteol.locks import ProcessLock

_STATE = "trainer_state.json"


class Workspace:
    """Find the files that a training keeps beside the model, in the folder of the result, while it runs."""

    def __init__(self, output: Path) -> None:
        self.output = output
        # It holds checkpoint-50, checkpoint-100 and so on, each of the portable form.
        self.checkpoints = output / "checkpoints"
        self.curve = output / "curve.jsonl"
        # Recipe and data, so that a training is resumed with the same ones.
        self.record = output / "training.json"
        self._lock = ProcessLock(self.checkpoints / ".lock")

    def vectors(self, number: int) -> Path:
        """Return the file of a teacher's vectors."""
        return self.output / f"teacher{f'-{number + 1}' if number else ''}.safetensors"

    def check(self, *, resume: bool) -> Mapping[str, Any] | None:
        """Return the record of a training in the folder that has come to a checkpoint, or ``None``: one may begin."""
        self._check_writable()
        folder, known = repr(str(self.output)), self._known()
        if known is None and self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise TrainingError(f"{folder} holds other files; name a folder that does not exist")
        return self._resumable(resume=resume)

    def _resumable(self, *, resume: bool) -> Mapping[str, Any] | None:
        folder, known = repr(str(self.output)), self._known()
        # Nothing is removed here: another process may be writing a checkpoint just now.
        if known is None or not any(map(_is_whole, self._numbered())):
            if (self.output / MANIFEST).exists():
                raise TrainingError(f"{folder} holds a finished model; name another folder")
            return None
        if not resume:
            go_on = "add --resume (resume=True) to go on with it, or name another folder"
            raise TrainingError(f"{folder} holds a training already: {go_on}")
        return known

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Give the folder back to other processes after the block, in which it may be taken."""
        try:
            yield
        finally:
            self._lock.release()

    def begin(self, record: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder, or make sure that the training in it is this one; take it for this process alone."""
        self.check(resume=resume)
        with self.kept_on_failure():
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            taken = self._lock.take()
        if not taken:
            raise TrainingError(f"another process trains in {str(self.output)!r}: wait for it, or name another folder")
        # Anew: until then another process may have written it.
        known = self._resumable(resume=resume)
        if known is None:
            write_text(self.record, json.dumps(dict(record), indent=2) + "\n")
            return
        changed = sorted(name for name in known.keys() | record.keys() if known.get(name) != record.get(name))
        if changed:
            listed = "; ".join(f"{name} was {known.get(name)!r}, now it is {record.get(name)!r}" for name in changed)
            fault = f"holds another training: its {listed}. Resume with the old, or name another folder"
            raise TrainingError(f"{str(self.output)!r} {fault}")

    @contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Turn the errors of a failing disk into one that says how the training goes on."""
        try:
            yield
        except (OSError, SafetensorError, RuntimeError) as error:
            # torch.save has no error of its own for a file that cannot be written; an unfinished checkpoint tells.
            if isinstance(error, RuntimeError) and all(map(_is_whole, self._numbered())):
                raise
            fix = "Mend that, and go on from the last whole checkpoint, or the start, with --resume (resume=True)"
            raise TrainingError(f"{str(self.output)!r}: {' '.join(str(error).split())}. {fix}") from error

    def last(self) -> Path | None:
        """Return the last whole checkpoint, and remove any that a kill left unfinished."""
        for path in reversed(self._numbered()):
            if _is_whole(path):
                self._relocate(path)
                return path
            shutil.rmtree(path)
        return None

    def _numbered(self) -> list[Path]:
        found = self.checkpoints.glob("checkpoint-*")
        return sorted((path for path in found if path.name.rpartition("-")[2].isdigit()), key=checkpoint_step)

    def _relocate(self, checkpoint: Path) -> None:
        """Give the state the new path of its best checkpoint, where the folder was moved."""
        state = read_state(checkpoint)
        here = self.checkpoints / Path(state.best_model_checkpoint or "").name
        if state.best_model_checkpoint and here != Path(state.best_model_checkpoint) and here.is_dir():
            state.best_model_checkpoint = str(here)
            with atomic_write(checkpoint / _STATE) as partial:
                state.save_to_json(str(partial))

    def _check_writable(self) -> None:
        there = next(path for path in (self.output, *self.output.absolute().parents) if os.path.exists(path))
        if there != self.output and not there.is_dir():
            raise TrainingError(f"cannot make the folder {str(self.output)!r}: {str(there)!r} is a file")
        if there.is_dir() and not os.access(there, os.R_OK | os.W_OK | os.X_OK):
            raise TrainingError(f"cannot write the folder {str(self.output)!r}: no permission in {str(there)!r}")

    def _known(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self.record.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise TrainingError(f"{str(self.record)!r} is damaged: {error}; name another folder") from error


def read_state(checkpoint: Path) -> TrainerState:
    """Return the trainer's state in a whole checkpoint."""
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / _STATE))
    return state


def checkpoint_step(checkpoint: str | Path) -> int:
    """Return the step in a checkpoint's name, such as ``checkpoint-50``."""
    return int(str(checkpoint).rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    # The trainer writes its state last.
    try:
        read_state(checkpoint)
    except (OSError, ValueError, TypeError):
        return False
    return True
