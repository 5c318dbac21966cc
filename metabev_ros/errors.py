"""The exception family: every message says where, what was expected, what came, what to do."""

from __future__ import annotations

from typing import NoReturn

TEXT_LIMIT = 64  # characters of foreign text in a log line, a status or an error


def clean_text(text: object, limit: int = TEXT_LIMIT) -> str:
    """Foreign text made safe for logs and diagnostics: one printable line, at most `limit` long.

    Control characters are escaped, so that a reader sees what was sent.
    """
    text = str(text)[: limit + 1]
    safe = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return safe if len(safe) <= limit else safe[: limit - 3] + '...'


class MetaBevError(Exception):
    """Base of every error this package raises on purpose."""

    def __init__(self, where: str, expected: str, got: str, remedy: str = '') -> None:
        self.where, self.expected, self.got, self.remedy = where, expected, got, remedy
        text = f'{where}: expected {expected}, got {got}'
        super().__init__(f'{text}; {remedy}' if remedy else text)

    def __reduce__(self) -> tuple[type[MetaBevError], tuple[str, ...]]:
        """Make it anew in another process: `args` holds the text alone."""
        return type(self), (self.where, self.expected, self.got, self.remedy)


class ConfigError(MetaBevError):
    """A configuration or parameter is wrong: start-up stops."""


class ContractError(MetaBevError):
    """An artefact (weights, ONNX, engine) does not fit its contract: it is refused."""


class BackendError(MetaBevError):
    """Inference failed or its runtime cannot be used."""


class DeviceLostError(BackendError):
    """The accelerator's context is gone: only a new process gets a new one."""


class SensorDataError(MetaBevError):
    """A message cannot be used: it is dropped, counted and reported with `reason`."""

    def __init__(self, reason: str, where: str, expected: str, got: str) -> None:
        self.reason = reason  # one short stable word: 'encoding', 'step', 'size', 'decode', ...
        super().__init__(where, expected, got)

    def __reduce__(self) -> tuple[type[MetaBevError], tuple[str, ...]]:
        """As that of its base."""
        return type(self), (self.reason, self.where, self.expected, self.got)


class OutputError(MetaBevError):
    """Something made cannot be written: no permission, no room, no such place."""

    @classmethod
    def of(cls, where: object, error: OSError) -> OutputError:
        """The error of a file that cannot be written."""
        got = clean_text(error.strerror or type(error).__name__)
        return cls(
            clean_text(where, 300), 'a file that can be written', got, 'free it or name another'
        )


class WorkerLostError(MetaBevError):
    """A process that shared the work ended before its job did."""


class MissingDependencyError(MetaBevError):
    """An optional package is needed; the remedy is the install command."""


def assert_never(value: NoReturn) -> NoReturn:
    """End a `match` over all members of an enum: a member without a case is a type error.

    `typing.assert_never` comes with Python 3.11 only.

    Raises:
        AssertionError: naming the value.
    """
    raise AssertionError(f'{value!r} has no case here')
