"""How a command ends: exit codes, and the one line that says why."""

import argparse
import io
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from aal.errors import RunStopped, UserError, did_you_mean
from aal.runs.files import NO_SPACE
from aal.runs.ranks import forget_unreadable_ranks

SAYING = threading.Lock()  # held from the last line on
LEAVING: list[Callable[[], object]] = []  # what a process that is ended at once does before, such as end its ranks
# What jsonargparse says about its own types, beside what is wrong.
PARSER_NOISE = re.compile(
    r"Subtypes:|Subclass types expect|a class path \(str\)|a dict with|"
    r"Errors:|Expected a path but|Expected a <class 'NoneType'>|Given value type:|"
    r"Given value: \W*(Namespace|NestedArg|{)"
)

# How a command that was interrupted goes on.
GO_ON = {"fit": "the same command with --ckpt_path last goes on", "study": "the same command goes on"}
# What asks a process to end: Ctrl-C, a scheduler or a service, a terminal that goes away.
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 10.0  # for an interrupted command to end in order; its files are whole at any moment


class OneLineParser(argparse.ArgumentParser):
    """Raises on wrong arguments, so that they end like every other wrong input; takes no option for another."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{self.prog}: {message}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """Parse arguments; a command refuses options that it does not know itself, with the nearest that it knows."""
        found, rest = super().parse_known_args(args, namespace)
        unknown = [word.partition("=")[0] for word in rest if word.startswith("--")]
        if unknown and self._subparsers is None:
            near = next(filter(None, (did_you_mean(word, self._option_string_actions) for word in unknown)), "")
            self.error(f"unrecognized arguments: {' '.join(rest)}{near}")
        return found, rest


class _Heard(io.FileIO):
    """A file of which what is written is lost once nobody reads on."""

    def write(self, data: Any) -> int:  # noqa: ANN401 - a buffer
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def drop_unread() -> None:
    """Have what is printed dropped once nobody reads on, as after ``| head``: that ends no run and no study.

    What the stream's encoding lacks, such as of a file's name that is no text, is printed as an escape.
    """
    for name in ("stdout", "stderr"):
        file = getattr(sys, name)
        if file is not None and file is getattr(sys, f"__{name}__"):  # else somebody catches it
            heard = io.BufferedWriter(_Heard(file.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(heard, file.encoding, "backslashreplace", line_buffering=True))


def end_with(command: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its code: 0 done, 1 a check of ``aal selftest`` failed.

    2 if the user's input is wrong, 3 if the run had to stop, or was asked to by a signal.
    """
    if SAYING.locked():  # by an earlier command of this process
        SAYING.release()
    try:
        forget_unreadable_ranks()
        from lightning_utilities.core.rank_zero import rank_zero_only  # takes a while, in which signals are heard

        rank_zero_only.rank = 0  # type: ignore[attr-defined] # whatever the environment says, until a Trainer is there
        sys.exit(command())
    except UserError as error:
        _end(2, f"error: {error}")
    except RunStopped as error:
        _end(3, f"stopped: {error}")
    except KeyboardInterrupt:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        _end(3, _interrupted())
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        _end(3, f"stopped: no space left to write {error.filename or 'a file'}; what was saved before is whole")


def hear() -> None:
    """Have what asks the process to end interrupt it, as Ctrl-C does: 3 is then its exit code.

    An exception is lost where it happens to arrive in a destructor, and does not come where a process waits for
    another. So a thread ends the process after ``GRACE_SECONDS``, or at a second signal. What the process was started
    to ignore, as the background jobs of a script are SIGINT, stays ignored.
    """
    for number in ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    arrivals, arrived = os.pipe()
    os.set_blocking(arrived, False)
    signal.set_wakeup_fd(arrived, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a child's signals are its own
    threading.Thread(target=_watch, args=(arrivals,), daemon=True).start()


def hear_again() -> None:
    """Take SIGTERM back from who has taken it since :func:`hear`, if it was heard."""
    if signal.getsignal(signal.SIGINT) == _interrupt:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch(arrivals: int) -> None:
    """End the process if it does not do so itself, though it was asked to."""
    heard, patience = 0, None
    while heard < 2 and select.select([arrivals], [], [], patience)[0]:
        if os.read(arrivals, 1)[0] in ENDS:
            heard, patience = heard + 1, GRACE_SECONDS
    _say(_interrupted())
    for last in LEAVING:
        last()
    os._exit(3)


def _interrupted() -> str:
    return f"stopped: interrupted; {GO_ON.get(''.join(sys.argv[1:2]), 'give the same command again')}"


def _say(message: str) -> None:
    """Write the one line that a command ends with, unless another process or thread has done so."""
    lightning = sys.modules.get("lightning_utilities.core.rank_zero")
    rank = getattr(getattr(lightning, "rank_zero_only", None), "rank", 0)
    if rank == 0 and SAYING.acquire(blocking=False):
        with suppress(OSError):  # the terminal is gone
            sys.stderr.write(" ".join(message.split()) + "\n")


def reason(error: BaseException) -> str:
    """Return what was wrong in the first place, not how the parser came upon it."""
    lines = [line.strip(" -") for line in str(refusal_in(error) or error).splitlines()]
    said = " ".join(line for line in lines if not PARSER_NOISE.match(line))
    return said.replace("Does not validate against any of the Union subtypes", "").replace("Parser key ", "")


def refusal_in(error: BaseException) -> UserError | None:
    """Return the refusal that an error is, or that the parser made it of."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _end(code: int, message: str) -> NoReturn:
    _say(message)
    sys.exit(code)
