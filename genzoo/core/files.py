"""Outputs that are tried before the work, and appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from genzoo.core.errors import DataError, GenzooError, OutputExistsError

# one of these lies in every folder that a command writes
_WRITTEN = ("metrics.json", "results.json", "saved_model.pb", "scores.csv")


def check_output(path: str | os.PathLike, overwrite: bool, *, is_file: bool = False) -> Path:
    """Return a path at which an output can be written; nothing is left there.

    Args:
        path: The output; folders above it may be missing.
        overwrite: Whether it may exist.
        is_file: Whether a file is to be written, else a folder.

    Raises:
        OutputExistsError: For an output that exists and may not be overwritten.
        DataError: For a place that cannot be written to, tried by making a folder there.
    """
    path = Path(path)
    if not path.name:
        raise DataError(f"Expected a name for the output. Received: --output {path}")
    try:
        return _tried(path, overwrite, is_file)
    except GenzooError:
        raise
    except OSError as error:
        raise DataError(
            f"Expected a place to write to. Received: --output {path} ({error.strerror})."
        ) from None


def _tried(path: Path, overwrite: bool, is_file: bool) -> Path:
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"Expected a new output. Received: --output {path}, which exists. "
            "Choose another, or pass --overwrite."
        )
    if path.exists() and not path.is_file() and (is_file or not path.is_dir()):
        kind = "a file" if is_file else "a folder"
        raise DataError(f"Expected {kind} to replace. Received: --output {path}, which is none.")
    if path.is_dir():
        _check_replaceable(path)
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    _folder_beside(parent / path.name).rmdir()
    return path


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill; it takes the place of `path` when all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _folder_beside(path)
    try:
        yield partial
        partial.chmod(0o755)
        if path.exists():
            old = partial.with_name(partial.name + "-old")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        else:
            partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to, of the same name; the file takes the place of `path` when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _folder_beside(path)
    try:
        yield partial / path.name
        os.replace(partial / path.name, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if folder.is_mount():
        raise DataError(
            f"Expected a folder that can be replaced. Received: --output {folder}, where a volume "
            "is mounted. Choose a folder inside it."
        )
    if any(folder.iterdir()) and not any((folder / name).exists() for name in _WRITTEN):
        raise OutputExistsError(
            "Expected an empty folder, or one that genzoo wrote, to replace. "
            f"Received: --output {folder}, which holds other files. Choose a folder inside it."
        )


def _folder_beside(path: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
