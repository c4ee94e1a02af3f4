"""Where in the configuration an object stands: the whole key of an argument that a class refuses."""

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from jsonargparse import Namespace, add_instantiator

from aal.cli.exits import refusal_in
from aal.errors import RunStopped, UserError
from aal.runs.files import NO_SPACE

# What a class says of its own argument: its bare name, perhaps with a place in it: ``attacks.pgd``, ``stop[0]``.
ARGUMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<place>[.\[][^\s:]*)?: ")


class Origins:
    """Knows what every object that the parser built was built with, and so where in the configuration it stands.

    A class names the bare argument that it refuses (``steps``). Whichever object refused it, when it was built or at
    any time later, is the innermost one of the configured objects in the traceback that takes such an argument.

    Args:
        config: The configuration from which everything is built.
    """

    def __init__(self, config: Namespace) -> None:
        self._config = _plain(config)
        self._built: list[tuple[object, dict[str, Any]]] = []
        self._linked: set[str] = set()  # arguments that other objects tell: the configuration has None
        self.note(_construct, object)

    def note(self, build: Callable[..., Any], base: type[Any]) -> None:
        """Have what the parser builds of a class or its subclasses built in another way, and noted."""
        add_instantiator(cast(Any, partial(self._build, build)), base, prepend=True)

    @contextmanager
    def named(self, begun: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Put the whole key before what a configured object refuses within, and name a class that is not aal's own.

        Args:
            begun: Whether there is a run by now that goes on once the class is mended.

        Raises:
            UserError: What was refused, with the whole key of the argument if its line begins with one; or what a class
                of the user's or of a library raised.
            RunStopped: What such a class raised once a run had begun.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # Lightning's answer to Ctrl-C
                raise
            refusal = refusal_in(error)
            if refusal is not None and not isinstance(error, RunStopped):
                raise UserError(self._with_key(refusal), refusal.rows) from error
            line = next(filter(None, map(self._of_a_guest, _causes(error))), "")
            if isinstance(error, RunStopped) or not line or getattr(error, "errno", None) in NO_SPACE:
                raise
            raise (RunStopped if begun() else UserError)(line) from error

    def _build(
        self,
        build: Callable[..., Any],
        class_type: type[Any],
        *positional: Any,  # what code gives to a class that it was told to build itself, such as a sample's shape
        applied_instantiation_links: dict[str, Any],  # the parser asks for it by this name
        **arguments: Any,
    ) -> Any:  # noqa: ANN401
        self._linked |= {key.rpartition(".")[2] for key in applied_instantiation_links}
        built = build(class_type, *positional, applied_instantiation_links=applied_instantiation_links, **arguments)
        self._built.append((built, arguments))
        return built

    def _with_key(self, refusal: UserError) -> str:
        line = str(refusal)
        named = ARGUMENT.match(line)
        if named is not None:
            for kind, arguments in reversed([*self._in_traceback(refusal)]):
                if named["name"] in arguments:
                    found = (key for key, node in _nodes(self._config) if self._is(node, kind, arguments))
                    return f"{key}.{line}" if (key := next(found, None)) else line
        return line

    def _of_a_guest(self, error: BaseException) -> str:
        """Return what a class that is not aal's own raised and where; empty where it was not such a class."""
        *_, kind = (None, *(kind for kind, _ in self._in_traceback(error)))
        if isinstance(error, TypeError):  # a call that its method does not take begins with the method's name
            called = str(error).partition("(")[0].rpartition(".")[0]
            kind = next((type(built) for built, _ in self._built if type(built).__qualname__ == called), kind)
        if kind is None or kind.__module__.partition(".")[0] == "aal":
            return ""
        steps = traceback.extract_tb(error.__traceback__)
        own = getattr(sys.modules[kind.__module__], "__file__", None)
        at = next((step for step in reversed(steps) if step.filename == own), steps[-1])
        said = f"{type(error).__name__}: {error}".strip(": ").splitlines()[0]
        return f"{kind.__module__}.{kind.__qualname__}: {said} ({at.filename}, line {at.lineno})"

    def _in_traceback(self, error: BaseException) -> Iterator[tuple[type[Any], dict[str, Any]]]:
        """Give class and arguments of the configured objects that were at work, or being built, the innermost last."""
        step = error.__traceback__
        while step is not None:
            within = step.tb_frame.f_locals
            if step.tb_frame.f_code is Origins._build.__code__:
                yield within["class_type"], within["arguments"]
            elif (known := self._arguments(within.get("self"))) is not None:
                yield type(within["self"]), known
            step = step.tb_next

    def _arguments(self, value: object) -> dict[str, Any] | None:
        return next((arguments for built, arguments in self._built if built is value), None)

    def _is(self, node: Mapping[str, Any], kind: type[Any], arguments: Mapping[str, Any]) -> bool:
        """Whether an object of a class and arguments is what a part of the configuration describes."""
        given = node.get("init_args", {}) if "class_path" in node else node
        if "class_path" in node:
            fits = node["class_path"].rpartition(".")[2] == kind.__name__ and given.keys() <= arguments.keys()
        else:
            fits = given.keys() == arguments.keys()
        told = (name for name, value in given.items() if not (value is None and name in self._linked))
        return fits and all(self._alike(given[name], arguments[name]) for name in told)

    def _alike(self, configured: object, value: object) -> bool:
        if isinstance(configured, list | tuple):
            return (
                isinstance(value, list | tuple)
                and len(value) == len(configured)
                and all(map(self._alike, configured, value))
            )
        if not isinstance(configured, Mapping):
            return repr(configured) == repr(value)  # NaN is not equal to itself
        if isinstance(value, Mapping):
            return configured.keys() == value.keys() and all(
                self._alike(configured[name], value[name]) for name in value
            )
        if isinstance(value, partial):  # what code builds of it, of a class and its arguments
            return self._is(configured, value.args[-1], value.keywords)
        known = self._arguments(value)
        return known is not None and self._is(configured, type(value), known)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error, and what it was made of by the parser."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _construct(
    class_type: type[Any], *positional: Any, applied_instantiation_links: dict[str, Any], **arguments: Any
) -> Any:  # noqa: ANN401
    return class_type(*positional, **arguments)


def _plain(value: object) -> Any:  # noqa: ANN401
    """Return a configuration as mappings and lists, without what the parser notes in it for itself."""
    if isinstance(value, Namespace | dict):
        items = vars(value) if isinstance(value, Namespace) else value
        return {name: _plain(inner) for name, inner in items.items() if name != "__path__"}
    return [*map(_plain, value)] if isinstance(value, list | tuple) else value


def _nodes(config: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every mapping of nested mappings and lists that may describe an object, with the key of its arguments."""
    if isinstance(config, Mapping):
        arguments = f"{key}.init_args" if "class_path" in config else key
        yield arguments, config
        for name, value in (config.get("init_args") or {} if "class_path" in config else config).items():
            yield from _nodes(value, f"{arguments}.{name}" if arguments else name)
    elif isinstance(config, list | tuple):
        for place, value in enumerate(config):
            yield from _nodes(value, f"{key}.{place}")
