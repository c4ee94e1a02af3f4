"""The folder of one run: taken by one process, new or resumed with the configuration it was started with."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from aal.checks import refuse
from aal.errors import RunStopped, UserError
from aal.runs.documents import read_mapping, to_yaml
from aal.runs.files import NO_SPACE, PARTIAL, refuse_misplaced, write_text
from aal.runs.inputs import CONFIG, INPUTS, check_config, note_config

LOCK = ".lock"
FOLDERS = ("checkpoints", "figures", "poisons", "robust", "sets", "wandb")  # of a run's folder
RECORDS = (CONFIG, INPUTS, "ledger.csv", "rounds.jsonl", "crafted.safetensors", "skipped.csv")  # files of a run
WATCHED = ("checkpoints", "figures", "poisons", "robust", "sets")  # folders in which only the run writes
HALF_WRITTEN = f".*{PARTIAL}"
BEGAN = ("checkpoints", "ledger.csv", "rounds.jsonl")  # none of them is there before the run's inputs are kept
UNBEGUN = {LOCK, "config.yaml", INPUTS, "skipped.csv", "ledger.csv"}  # all that is there before a run does any work


class RunFolder:
    """A run's folder, held by a lock that ends with the process.

    Args:
        path: The folder; it is made if there is none.
        resumes: Whether a run that is there already may go on.

    Raises:
        UserError: Another process holds it, it holds something and ``resumes`` is not set, or it cannot be written to;
            an earlier version made the run; a file stands where a run has a folder, or a folder where it has a file.
    """

    def __init__(self, path: Path, resumes: bool) -> None:
        self.path = path
        self._lock = FileLock(path / LOCK)
        self._seen: set[Path] = set()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._inode = (path / LOCK).stat().st_ino
        except Timeout:
            raise UserError(f"out: {path} is in use by another process") from None
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            raise UserError(f"out: {path} cannot be written to ({error.strerror})") from None
        found = sorted(entry.name for entry in path.iterdir() if entry.name != LOCK and not entry.match(HALF_WRITTEN))
        self._new, refusal = not found, None
        if found and not resumes:
            refusal = f"is in use (it holds {found[0]}); choose another, or add --ckpt_path last"
        elif found and not {CONFIG, INPUTS, "poisons"} & set(found):
            refusal = f"holds {found[0]}, but no run that could go on"
        try:
            refuse(refusal, f"out: {path} {refusal}")
            refuse_misplaced(path, FOLDERS)
            refuse(
                set(BEGAN) & set(found) and INPUTS not in found,
                f"out: {path} has no {INPUTS}: an earlier version of aal made this run; run it anew elsewhere",
            )
        except UserError:
            self.release()
            raise
        for left in path.rglob(HALF_WRITTEN):  # by processes that died
            left.unlink()

    def compare(
        self,
        config: dict[str, Any],
        may_change: Collection[str],
        completed: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        """Refuse to go on with another configuration than the run was started with, or where none tells which.

        Args:
            config: The configuration of this process.
            may_change: Dotted keys, each with all below it, that may differ.
            completed: Gives an earlier configuration the keys that are new since, with their defaults.

        Raises:
            UserError: A key differs; the message names it with both values. ``config.yaml`` was altered, or is gone.
        """
        check_config(self.path, to_yaml(config))
        path = self.path / CONFIG
        if not path.exists():
            return
        before, now = flattened(completed(read_mapping(path))), flattened(config)
        for key in sorted(before.keys() | now.keys()):
            changed = before.get(key) != now.get(key)
            if changed and not any(key == free or key.startswith(free + ".") for free in may_change):
                raise UserError(
                    f"{key}: the run in {self.path} was started with {before.get(key)!r}, now it is {now.get(key)!r}; "
                    "resume with the same configuration, or choose another --out"
                )

    def write_config(self, config: dict[str, Any]) -> None:
        """Write ``config.yaml``; of a run that goes on some values may have changed, and keys may be new."""
        note_config(self.path, text := to_yaml(config))
        write_text(self.path / CONFIG, text)

    def check(self) -> None:
        """See that the folder is there, the one that was taken, and that nothing of the run's is gone from it.

        Raises:
            RunStopped: It is not; the line names what is gone.
        """
        lock = self.path / LOCK
        refuse(
            not lock.exists() or lock.stat().st_ino != self._inode,
            f"{self.path}: was removed or replaced while the run wrote into it; put it back as it was, and the same "
            "command with --ckpt_path last goes on",
            RunStopped,
        )
        present = self._present()
        gone = min(self._seen - present, default=None)
        self._seen |= present
        refuse(
            gone,
            f"{gone}: was removed while the run wrote into its folder; put it back, and the same command with "
            "--ckpt_path last goes on, or choose another --out",
            RunStopped,
        )

    def _present(self) -> set[Path]:
        """Return what there is of the files and folders that a run writes and never removes."""
        found = {self.path / name for name in RECORDS if (self.path / name).exists()}
        for top in WATCHED:
            for place, folders, files in os.walk(self.path / top):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found |= {Path(place), *(Path(place, name) for name in files if not name.startswith("."))}
        return found

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Stop a run when the folder vanishes or cannot be written to any more; that is why, whatever else went wrong.

        Raises:
            RunStopped: It did.
        """
        try:
            with stopped_by(self.path):
                yield
        except Exception:
            self.check()
            raise
        self.check()

    def release(self, *, refused: bool = False) -> None:
        """Give the folder free; one that nothing was written to is removed, or no work of a new run that is refused."""
        with suppress(OSError):  # it is gone, or cannot be written to any more
            found = {entry.name for entry in self.path.iterdir()}
            if found == {LOCK} or (refused and self._new and found <= UNBEGUN):
                for name in found:
                    (self.path / name).unlink()
                self.path.rmdir()
        self._lock.release()


@contextmanager
def stopped_by(folder: Path) -> Iterator[None]:
    """Have what cannot be written into a folder, or is gone from it, stop a run; no space left is told elsewhere.

    Raises:
        RunStopped: It could not.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE or not Path(os.fsdecode(error.filename or "")).is_relative_to(folder):
            raise
        raise RunStopped(f"{error.filename}: {error.strerror}; what was saved before is whole") from error


def flattened(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    """Return a nested mapping as one of dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = (flattened(inner, f"{prefix}.{name}" if prefix else str(name)) for name, inner in value.items())
    return {key: leaf for part in parts for key, leaf in part.items()}
