"""The sources by name. Each is imported when asked for, so that none pays for another's libraries."""

from __future__ import annotations

from importlib import import_module

from avrec.datasets.base import Source
from avrec.errors import DataError

SOURCES = {
    "demo": "avrec.datasets.demo.source:DemoSource",
    "folder": "avrec.datasets.folder:FolderSource",
    "mmrec": "avrec.datasets.mmrec:MmrecSource",
    "movielens": "avrec.datasets.movielens:MovielensSource",
    "microlens": "avrec.datasets.microlens:MicrolensSource",
}
"""Name to `module:class`; a new source adds a line here and its name to `avrec.params.Source`."""


def source_named(name: str) -> Source:
    """The source of that name.

    Raises:
        DataError: there is none.
    """
    if name not in SOURCES:
        raise DataError(f"source '{name}' is unknown; expected one of {', '.join(SOURCES)}.")
    module, _, attribute = SOURCES[name].partition(":")
    source: Source = getattr(import_module(module), attribute)()
    return source
