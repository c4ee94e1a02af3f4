"""Run a command and kill it, with all it started, when standard input ends: no cell outlives its study, killed or not.

Started by its path and without the ``aal`` package, so that it costs a cell some milliseconds and megabytes only. A
cell loses little by being killed: a run's files are whole at any moment.
"""

import os
import signal
import subprocess
import sys
import threading


def guard(command: list[str]) -> int:
    """Run ``command`` in this process's session and return its exit code, 128 + n where signal n ended it."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)  # this process leads a session of its own: itself and its child

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
