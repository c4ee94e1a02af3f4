"""The two ways a run ends early on purpose, each with its exit code."""


class UserError(ValueError):
    """The user's input is wrong: one line that names the key or file and says what to do. Exit code 2."""


class RunStopped(RuntimeError):
    """The run cannot go on (NaN, no space): what was saved stays whole. Exit code 3."""
