"""Pseudonyms of people: HMAC-SHA256 of the raw id under a key that stays in this home.

Without the key a pseudonym cannot be linked to an id, not even by trying all ids; with it look-ups and erasure work.
The key never lands in data, logs or git; its fingerprint does, so that data made under two keys are not mixed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from avrec.errors import DataError
from avrec.settings import settings

DEMO_KEY = b"avrec demo set: no person is behind these ids"
"""Published on purpose: nobody is behind the ids of the demo set, and it has to be the same in every home."""
KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
LENGTH = 32
"""Hex digits of a pseudonym: 128 bits, so that collisions do not happen."""


class Pseudonyms:
    """Makes pseudonyms under one key.

    Example:
        ```python
        names = Pseudonyms.of_home()
        names.of("anna@example.org")  # 'u' and 32 hex digits, the same on every call
        ```
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of_home(cls) -> Pseudonyms:
        """Under the key of this home, made on first use."""
        return cls(home_key())

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of the key."""
        return hashlib.sha256(self._key).hexdigest()[:16]

    def of(self, user: str) -> str:
        """The pseudonym of one raw id."""
        return "u" + hmac.new(self._key, user.encode("utf-8"), hashlib.sha256).hexdigest()[:LENGTH]

    def receipt(self, kind: str, value: str) -> str:
        """What a receipt keeps of somebody who was erased: a keyed hash that only recognises, never tells.

        Args:
            kind: `person` (then `value` is a pseudonym) or `item`.
            value: Pseudonym or item id.
        """
        return hmac.new(self._key, f"erased {kind}\0{value}".encode(), hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return f"Pseudonyms({self.fingerprint})"


def home_key() -> bytes:
    """The key of this home; made with 0600 on first use, the same for whoever asks at once.

    Raises:
        DataError: the file is there and is not a key.
    """
    path = settings().secrets / KEY_FILE
    if not path.exists():
        _make_key(path)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a key: expected {2 * KEY_BYTES} hex digits. Restore it from a backup."
        ) from error
    if len(key) != KEY_BYTES:
        raise DataError(f"{path} holds {len(key)} bytes; expected {KEY_BYTES}. Restore it from a backup.")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # mkstemp gives 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
        # A link, not a rename: if another process was first, its key stays.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
