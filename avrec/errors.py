"""Errors a person is meant to read: what is wrong, what was expected, what to do."""

import errno
import sys

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_IN_WORDS = ("No space left", "File too large", "database or disk is full")
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FORBIDDEN_IN_WORDS = (
    "Read-only file system",
    "Permission denied",
    "readonly database",
    "unable to open database file",
)


class AvrecError(Exception):
    """Base of every error raised on purpose; the CLI prints it without a traceback."""


class ParamsError(AvrecError):
    """A key or value of params.yaml is wrong; names the key."""


class SchemaError(AvrecError):
    """A table does not have the columns or types of `avrec.schema`; names table and column."""


class DataError(AvrecError):
    """Data from outside cannot be used; names the file, row or column."""


class WeightsError(AvrecError):
    """Pretrained weights are missing or not what they should be; says what to install."""


class MediaError(AvrecError):
    """A media file was refused; `reason` is what the quarantine report shows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotFittedError(AvrecError):
    """A matcher was used before `fit` or `load`."""


class RegistryError(AvrecError):
    """The registry refuses: no such version, no approval record, void comparison."""


class RevokedError(RegistryError):
    """A model version may not be used any more: it learned from data that were erased since."""


class PlatformError(AvrecError):
    """A server of the platform does not start or does not answer; names its log file."""


def not_written(error: BaseException) -> str | None:
    """What to do about a write that failed for want of room or of the right to; None where the reason is another.

    Databases (DuckDB, SQLite) say it in words of their own, and of no common class.
    """
    first = (str(error).splitlines() or [""])[0]
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or any(words in first for words in _FULL_IN_WORDS):
        return (
            f"no room to write: {first}. Nothing half-written is used. Free some (`python -m pipelines.gc` removes "
            "from DVC's cache what no run names, `avrec doctor` says how much is left) and run the same again."
        )
    if number in _FORBIDDEN or any(words in first for words in _FORBIDDEN_IN_WORDS):
        return (
            f"no right to it: {first}. Give this user the right to write there, or put the state of the platform "
            "into another folder: AVREC_HOME=/path/to/it."
        )
    return None


def told(name: str, error: Exception, code: int = 1) -> int:
    """Tells a person what went wrong, in one line on standard error; what nobody meant for people is raised again.

    Args:
        name: Of the command.
        error: What was caught.
        code: With which the process is to end.

    Returns:
        `code`; 1 where a write failed: another try may find room.
    """
    if isinstance(error, AvrecError):
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return code
    if (said := not_written(error)) is None:
        raise error
    print(f"{name}: {said}", file=sys.stderr, flush=True)
    return 1
