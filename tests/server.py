"""A process that has imported everything and forks for each run of the command line: importing takes most of a run.

A run is a process of its own as ever, with its own arguments, environment, output and exit code; it begins where
``python -m aal`` stands after its imports and a small run that left nothing but what libraries keep for themselves:
signatures and docstrings that were read, fonts, memory. Environment variables that are read while Python starts or
libraries are imported (other than ``PYTHONPATH``) have the values that they had when the server started.
"""

import atexit
import gc
import importlib
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from lightning_fabric.utilities.rank_zero import _get_rank, rank_zero_only
from pytorch_lightning.utilities.seed import isolate_rng

ROOT = Path(__file__).parent.parent
LOADED = ("aal.cli.fit", "aal.cli.selftest", "aal.cli.study", "aal.report", "sklearn.datasets")
SECONDS = 300


class Server:
    """Starts the process; runs commands from it, one at a time.

    Args:
        environment: The process's environment variables.

    Attributes:
        forks: Whether it can: not where what is imported has started threads.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(SECONDS)
        subprocess.Popen(  # it ends when this process does, and the connection with it
            [sys.executable, "-m", "tests.server", str(theirs.fileno())],
            cwd=ROOT,
            env=environment,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self.forks = int(self._answer()) == 1  # a fork would lose all threads but one

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], code: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``aal``, or the script ``code``, with arguments and environment variables like :func:`subprocess.run`."""
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        with tempfile.TemporaryFile("w+") as asked, ThreadPoolExecutor(2) as readers:
            json.dump({"arguments": arguments, "environment": dict(environment), "code": code}, asked)
            asked.seek(0)
            said = [readers.submit(read, file) for file in (out, err)]
            try:
                socket.send_fds(self.connection, [b"!"], [asked.fileno(), to_out, to_err])
            finally:  # else the readers would wait for what these might write
                os.close(to_out)
                os.close(to_err)
            child = int(self._answer())
            try:
                returned = int(self._answer())
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._answer()  # that it was killed; the next run's come after it
                raise subprocess.TimeoutExpired(["aal", *arguments], SECONDS) from None
            return subprocess.CompletedProcess(["aal", *arguments], returned, *(text.result() for text in said))

    def _answer(self) -> str:
        line = b""  # no file: it would read nothing more once it had timed out
        while not line.endswith(b"\n"):
            line += (said := self.connection.recv(1))
            if not said:
                raise RuntimeError("the server of runs has ended; standard error says why")
        return line.decode()


def read(file: int) -> str:
    """Read what a run writes into a pipe until its end."""
    with open(file) as pipe:
        return pipe.read()


def serve(connection: socket.socket) -> list[int]:
    """Fork for every command; return in the child, with its files: what is asked, standard output and error.

    Says first how many threads there are.
    """
    connection.sendall(b"%d\n" % len(os.listdir("/proc/self/task")))
    while True:
        _, files, _, _ = socket.recv_fds(connection, 1, 3)
        if not files:  # the tests have ended
            os._exit(0)
        child = os.fork()
        if child == 0:
            connection.close()
            return files
        for file in files:
            os.close(file)
        connection.sendall(b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def warm_up() -> None:
    """Make a small run in this process: what libraries do the first time, and keep, is done."""
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, isolate_rng(include_cuda=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which is not remembered as having been said
        logging.disable()
        importlib.import_module("aal.cli.fit").fit(
            [
                *("--config=aal:experiment/collision_digits", f"--out={folder}/run", "--poison.init_args.n=3"),
                *("--query.init_args.budget=1", "--query.init_args.max_epochs=1"),
            ]
        )
        logging.disable(logging.NOTSET)
    os.environ.clear()
    os.environ.update(kept)
    gc.collect()


def become(asked: int, out: int, err: int) -> None:
    """Turn this process into the command that is asked for."""
    for file, standard in ((out, 1), (err, 2)):
        os.dup2(file, standard)
        os.close(file)
    with open(asked) as request:
        arguments, environment, code = json.load(request).values()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # which the tests may have been started to ignore
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    rank_zero_only.rank = _get_rank() or 0  # as Lightning sets it where it is imported
    sys.path[1:1] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if code is None:
        sys.argv[1:] = arguments
        exited(lambda: runpy.run_module("aal", run_name="__main__", alter_sys=True))
    else:
        sys.argv = ["-c", *arguments]
        sys.modules["__main__"] = script = ModuleType("__main__")
        exited(lambda: exec(code, script.__dict__))


def exited(command: Callable[[], object]) -> None:
    """Run a command and, where it asks for an exit code, exit without taking down the interpreter.

    Threads are waited for and exit handlers called as ever. To let go of all that was imported, and so to copy the
    pages that a fork shares, would take as long as the run of many a test.
    """
    try:
        command()
        returned = 0
    except SystemExit as exiting:
        if not isinstance(exiting.code, int):
            raise
        returned = exiting.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for standard in (sys.stdout, sys.stderr):
        standard.flush()
    os._exit(returned)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests and their runs
    for name in LOADED:
        importlib.import_module(name)
    warm_up()
    gc.freeze()  # else each run looks through, and so copies, all that is imported whenever it collects garbage
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
