"""A network at work beside the decoders: one thread a modality, fed with samples as they come."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType

from avrec.errors import MediaError
from avrec.features.base import Extraction, Extractor
from avrec.media.pool import Answer
from avrec.media.sample import Sample

WAITING = 8
"""Answers that may wait for a network, so that memory stays flat when the decoders are faster."""


class Lane:
    """Runs one extractor over what is put in and hands its extractions to `found`, in a thread of its own.

    The lanes of several modalities and the decoding processes overlap; batches run across files. Leaving the context
    waits for the last extraction; an error in the thread is raised at the next `put` or on leaving.

    Example:
        ```python
        with Lane(extractor, store_it) as lane:
            for decoded in decode_many(requests, limits):
                lane.put(keys[decoded.index], decoded.answer)
        ```
    """

    def __init__(self, extractor: Extractor, found: Callable[[str, Extraction], None]) -> None:
        self._extractor = extractor
        self._found = found
        self._inbox: queue.Queue[tuple[str, Answer] | None] = queue.Queue(WAITING)
        self._keys: deque[str] = deque()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"lane {extractor.modality}", daemon=True)

    def __enter__(self) -> Lane:
        self._thread.start()
        return self

    def put(self, key: str, answer: Answer) -> None:
        """Hands over what the decoder said about the media of `key`; waits while the network is behind."""
        self._send((key, answer))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._send(None)
        except BaseException:
            if error is None:
                raise
        self._thread.join()
        if error is None:
            self._raise()

    def _send(self, item: tuple[str, Answer] | None) -> None:
        while True:
            self._raise()
            try:
                self._inbox.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for extraction in self._extractor.extract(self._samples()):
                self._found(self._keys.popleft(), extraction)
        except BaseException as error:  # carried to the thread that fills the lane, where it is raised
            self._error = error

    def _samples(self) -> Iterator[Sample]:
        while (item := self._inbox.get()) is not None:
            key, answer = item
            if isinstance(answer, MediaError):
                self._found(key, Extraction.missing(answer.reason, self._extractor.dim))
            else:
                self._keys.append(key)
                yield answer
