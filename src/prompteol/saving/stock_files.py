"""Write what older libraries and servers look for in the files of a saved model."""

from __future__ import annotations

from pathlib import Path

# vLLM and TEI read these booleans and pool wrongly, or refuse, without them.
_OLD_POOLING_KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def old_pooling_keys(pooling_mode: str) -> dict[str, bool]:
    """Return a mode of pooling as older versions of sentence-transformers write it."""
    return {key: mode == pooling_mode for mode, key in _OLD_POOLING_KEYS.items()}


def open_weights(folder: Path, *, like: str) -> None:
    """Give weights the permissions of another file: safetensors writes for the owner alone, whatever the umask."""
    mode = (folder / like).stat().st_mode & 0o777
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(mode)
