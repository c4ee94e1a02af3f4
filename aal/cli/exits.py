"""How a command ends: exit codes, and the one line that says why."""

import argparse
import io
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from lightning_utilities.core.rank_zero import rank_zero_only

from aal.errors import RunStopped, UserError
from aal.runs.files import NO_SPACE
from aal.runs.ranks import forget_unreadable_ranks

# What jsonargparse says about its own types, beside what is wrong.
PARSER_NOISE = re.compile(
    r"Subtypes:|Errors:|Expected a path but|Expected a <class 'NoneType'>|Given value type:|"
    r"Given value: \W*(Namespace|NestedArg|{)"
)


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


class _Heard(io.FileIO):
    """A file of which what is written is lost once nobody reads on."""

    def write(self, data: Any) -> int:  # noqa: ANN401 - a buffer
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def drop_unread() -> None:
    """Have what is printed dropped once nobody reads on, as after ``| head``: that ends no run and no study."""
    for name in ("stdout", "stderr"):
        file = getattr(sys, name)
        if file is not None and file is getattr(sys, f"__{name}__"):  # else somebody catches it
            heard = io.BufferedWriter(_Heard(file.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(heard, file.encoding, file.errors, line_buffering=True))


def end_with(command: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its code: 0 done, 1 a check of ``aal selftest`` failed.

    2 if the user's input is wrong, 3 if the run had to stop, 130 after Ctrl-C.
    """
    forget_unreadable_ranks()
    rank_zero_only.rank = 0  # type: ignore[attr-defined] # whatever the environment says, until a Trainer is there
    try:
        sys.exit(command())
    except UserError as error:
        _end(2, f"error: {error}")
    except RunStopped as error:
        _end(3, f"stopped: {error}")
    except KeyboardInterrupt:
        _end(130, "interrupted")
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        _end(3, f"stopped: no space left to write {error.filename or 'a file'}; what was saved before is whole")


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
    if getattr(rank_zero_only, "rank", 0) == 0:  # the others have the same to say
        sys.stderr.write(" ".join(message.split()) + "\n")
    sys.exit(code)
