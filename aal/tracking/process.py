"""The process that shows a run's folder in Weights & Biases: ``python process.py FOLDER OPTIONS``.

It reads the run's files and nothing else (it is started by its path, so that neither ``aal`` nor torch is loaded): what
happens in ``wandb`` happens here and not to the run. The line ``finish`` on stdin says that the run is complete;
anything else, and the end of stdin above all, says that the run failed or died.
"""

import csv
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import yaml

SENT, FAILED, PARTLY, KEPT = (
    0,
    1,
    3,
    4,
)  # exit codes: W&B has all, nothing is sure, parts are missing, it is on disk but not sent
POLL_SECONDS = 1.0
NAMES = ("strategy", "class", "true_class")  # columns of the ledger that are texts, whatever they look like
NOT_IN_ARTIFACT = ("checkpoints", "wandb")


class Parent:
    """What the training process said: ``over`` is set when it finished or died, ``finished`` tells which."""

    def __init__(self, patience: float) -> None:
        """Listen on stdin; ``patience`` seconds after the run is over this process ends, whatever hangs."""
        self.over = threading.Event()
        self.finished = False
        self._patience = patience
        self._pid = os.getppid()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        self.finished = sys.stdin.readline() == "finish\n"
        self._end()

    def _end(self) -> None:
        self.over.set()
        timer = threading.Timer(self._patience, os._exit, (FAILED,))
        timer.daemon = True
        timer.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the run is over, at most ``seconds``, and return whether it is."""
        if self.over.wait(seconds):
            return True
        if os.getppid() != self._pid:  # a forked worker that outlives the run keeps our stdin open
            self._end()
        return self.over.is_set()


def whole_rounds(path: Path) -> list[dict[str, Any]]:
    """Return the rounds in a ``rounds.jsonl`` up to the first torn line (being written, or its writer was killed)."""
    rows = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        try:
            row = json.loads(line)
        except (RecursionError, ValueError):
            break
        if not isinstance(row, dict) or not isinstance(row.get("round"), int):
            break
        rows.append(row)
    return rows


def set_defaults(folder: Path, wait: float) -> None:
    """Set what a user may set otherwise, through W&B's own environment: its settings differ between versions.

    W&B keeps what it could not send in time only if it ends by itself, so it is given less time than it has.
    """
    defaults = {
        "WANDB_PROJECT": "aal",
        "WANDB_CONSOLE": "off",  # this process has nothing to say
        "WANDB_DATA_DIR": str(folder / "wandb" / "data"),  # staged files: the home may be full or read-only
        "WANDB_INIT_TIMEOUT": "30",  # seconds for the server to answer; then the run is recorded offline
        "WANDB_FINISH_TIMEOUT": str(0.8 * wait),
        "WANDB_FINISH_TIMEOUT_RAISES": "true",
        "WANDB__TRANSACTION_LOG_FLUSH_INTERVAL": "2",  # seconds of its records that a kill may cost, 15 otherwise
    }
    os.environ.update(defaults | os.environ)


def open_run(wandb: Any, folder: Path, options: dict[str, Any]) -> tuple[Any, bool]:  # noqa: ANN401
    """Start or continue the folder's W&B run.

    Args:
        wandb: The module, imported late so that a missing one is reported like any other failure.
        folder: The run's folder.
        options: What :class:`aal.tracking.logger.WandbTracker` was given, the run's ``id`` and ``axis``.

    Returns:
        The run, and whether it had to be recorded offline because the server was not reached.
    """
    config_path = folder / "config.yaml"
    config = yaml.safe_load(config_path.read_text()) if config_path.exists() else {}

    arguments = {name: options[name] for name in ("project", "entity", "group", "name", "notes", "id")} | {
        "tags": options["tags"] or None,
        "dir": str(folder),
        "resume": "allow",
        "config": config,
        "allow_val_change": True,
    }
    try:
        run, kept = wandb.init(**arguments, mode=options["mode"]), False
    except wandb.errors.Error:  # no key, no network, no answer: keep the run for `wandb sync`
        traceback.print_exc()
        wandb.teardown()  # its service still holds the run's id
        run, kept = wandb.init(**arguments, mode="offline"), True
    run.define_metric(options["axis"], hidden=True)
    run.define_metric("*", step_metric=options["axis"])
    return run, kept


def follow(run: Any, rounds: Path, parent: Parent) -> None:  # noqa: ANN401
    """Log each round once, as it is written, until the run is over.

    The W&B step is the round: a row that a resumed run writes again has a step that was logged before, and
    is passed over. The file is small, so it is read whole whenever it changed: nothing to get wrong when it was cut.
    """
    logged = run.step - 1 if run.resumed else -1
    seen: tuple[int, int] | None = None
    over = False
    while not over:
        over = parent.wait(POLL_SECONDS)  # before the reading: what was written before the end is read
        found = (rounds.stat().st_size, rounds.stat().st_mtime_ns) if rounds.exists() else None
        if found == seen:
            continue
        seen = found
        for row in whole_rounds(rounds):
            if row["round"] > logged:
                run.log(row, step=row["round"], commit=True)
                logged = row["round"]


def log_summary(wandb: Any, run: Any, folder: Path) -> None:  # noqa: ANN401
    """Put the run's final numbers into the W&B summary."""
    run.summary.update(json.loads((folder / "summary.json").read_text()))


def log_ledger(wandb: Any, run: Any, folder: Path) -> None:  # noqa: ANN401
    """Log every label given as a table, numbers as numbers, but names of classes as texts."""
    with (folder / "ledger.csv").open(newline="") as file:
        columns, *rows = csv.reader(file)
    wandb.Table.MAX_ROWS = max(wandb.Table.MAX_ROWS, len(rows))  # else a ledger of more than 10,000 labels is cut
    own = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    typed = [[text or None for text in texts] if name in NAMES else typed_column(texts) for name, texts in own.items()]
    run.log({"ledger": wandb.Table(columns=columns, data=[list(row) for row in zip(*typed, strict=True)])})


def typed_column(texts: list[str]) -> list[int | float | str | None]:
    """Return a CSV column as ints if it holds nothing else, else as floats, else as it is; empty fields as None."""
    for kind in (int, float):
        try:
            return [kind(text) if text else None for text in texts]
        except ValueError:
            continue
    return [text or None for text in texts]


def log_media(wandb: Any, run: Any, folder: Path) -> None:  # noqa: ANN401
    """Log the PNG figures and the report."""
    media: dict[str, Any] = {
        f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted((folder / "figures").glob("*.png"))
    }
    if (folder / "report.html").exists():
        media["report"] = wandb.Html((folder / "report.html").read_text(), inject=False)
    if media:
        run.log(media)


def log_artifact(wandb: Any, run: Any, folder: Path) -> None:  # noqa: ANN401
    """Log the run's folder as an artifact, without checkpoints, W&B's own files, locks and hidden files.

    The files are final, so W&B may read them where they lie (``immutable``) instead of copying them first.
    """
    artifact = wandb.Artifact(f"run-{run.id}", type="run")
    for path in artifact_files(folder):
        artifact.add_file(str(path), name=path.relative_to(folder).as_posix(), policy="immutable", skip_cache=True)
    run.log_artifact(artifact)


def artifact_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run's folder that belong into its artifact."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        skipped = parts[0] in NOT_IN_ARTIFACT or path.suffix == ".lock" or any(part.startswith(".") for part in parts)
        if path.is_file() and not skipped:
            yield path


def log_folder(wandb: Any, run: Any, folder: Path) -> bool:  # noqa: ANN401
    """Log what a complete run left in its folder, and return whether W&B took all of it."""
    parts: list[Callable[[Any, Any, Path], None]] = [log_summary, log_ledger, log_media, log_artifact]
    complete = True
    for part in parts:
        try:
            part(wandb, run, folder)
        except Exception:  # one part that W&B refuses must not cost the others
            traceback.print_exc()
            complete = False
    return complete


def track(folder: Path, options: dict[str, Any]) -> int:
    """Show a run in W&B from its start to its end, and return this process's exit code."""
    parent = Parent(options["wait"] + 5.0)  # the training process waits ``wait``; this ends what it could not end
    set_defaults(folder, options["wait"])
    # A resumed run's process waits here until the one before it has closed the same W&B run.
    with filelock.FileLock(folder / "wandb" / "tracking.lock"):
        wandb = importlib.import_module("wandb")
        run, kept = open_run(wandb, folder, options)
        follow(run, folder / "rounds.jsonl", parent)
        complete = not parent.finished or log_folder(wandb, run, folder)
        try:
            run.finish(exit_code=0 if parent.finished else 1)
        except TimeoutError:
            traceback.print_exc()
            kept = True
    return KEPT if kept else SENT if complete else PARTLY


if __name__ == "__main__":
    sys.exit(track(Path(sys.argv[1]).resolve(), json.loads(sys.argv[2])))
