"""Moments of a run: something is done when a function is entered or left for the nth time.

The code that runs is the shipped one: the function is entered by a detour, and nothing else is looked at.
"""

import builtins
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FrameType, FunctionType
from typing import Any


def when(path: str, name: str, event: str, nth: int, act: Callable[[], object]) -> None:
    """Have something done at a moment of this process.

    Where the function is in no module and class that is imported by now, Python's tracing hook looks on, which makes
    a run half as slow again.

    Args:
        path: How the path of the function's file ends.
        name: The function's name.
        event: ``call``, as it is entered, or ``return``, as it is left.
        nth: At which time.
        act: What is done.
    """
    seen = 0

    def met(what: str) -> None:
        nonlocal seen
        if what == event:
            seen += 1
            if seen == nth:
                act()

    def meant(code: CodeType) -> bool:
        return code.co_name == name and code.co_filename.endswith(path)

    def look(frame: FrameType, what: str, argument: object) -> Any:  # noqa: ANN401
        if not meant(frame.f_code):
            return None
        met(what)
        frame.f_trace_lines = False
        return look

    found = {id(function): function for function in _functions(path) if meant(function.__code__)}
    for function in found.values():
        _detour(function, met)
    if not found:
        sys.settrace(look)


def _functions(path: str) -> Iterator[FunctionType]:
    """Give the functions and methods in modules of a file."""
    for module in [*sys.modules.values()]:
        space: Mapping[str, Any] = getattr(module, "__dict__", {})
        if str(space.get("__file__")).endswith(path):
            classes = [vars(value) for value in space.values() if isinstance(value, type)]
            for value in [value for names in (space, *classes) for value in names.values()]:
                for key in ("__func__", "fget", "func"):  # of a class, of a property
                    value = getattr(value, key, value)
                function = inspect.unwrap(value) if callable(value) else None
                if isinstance(function, FunctionType):
                    yield function


def _detour(function: FunctionType, met: Callable[[str], None]) -> None:
    """Change a function in place, whoever holds it by now."""
    own = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    own.__kwdefaults__ = function.__kwdefaults__

    def through(given: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401
        met("call")
        try:
            return own(*given, **named)
        finally:
            met("return")

    place = f"through_{id(function)}"
    setattr(builtins, place, through)  # which it finds whatever its module
    way: FunctionType = eval(f"lambda *given, **named: {place}(given, named)")
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined] # as others ask for
    function.__code__ = way.__code__.replace(co_name=function.__name__, co_freevars=function.__code__.co_freevars)
    function.__defaults__ = function.__kwdefaults__ = None  # type: ignore[assignment]
