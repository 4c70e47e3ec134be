"""Errors a person is meant to read: what is wrong, what was expected, what to do."""

import errno

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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


def no_room(error: OSError) -> str | None:
    """What to do about a write that failed for want of room; None where it failed for another reason."""
    if error.errno not in _FULL and "No space left" not in str(error):
        return None
    return (
        f"no room to write: {error}. Nothing half-written is used. Free some (`python -m pipelines.gc` removes from "
        "DVC's cache what no run names, `avrec doctor` says how much is left) and run the same again."
    )
