"""Where a film cuts: shot boundaries by content, from small frames in time order. Detection is PySceneDetect's."""

from __future__ import annotations

from collections.abc import Iterable

from avrec.media.sample import Frames

SIZE = (128, 72)
"""Width and height of the frames that are compared; cuts are plain at any size."""


def find_cuts(frames: Iterable[tuple[float, Frames]]) -> list[float]:
    """The seconds at which a new shot begins, the first shot not counted.

    A frame begins a shot where its hue, saturation and brightness differ from those of the frame before by more than
    PySceneDetect's default for content, at least 15 frames after the last cut.

    Args:
        frames: Second and picture `[h, w, 3]` uint8 BGR, in time order.
    """
    import cv2
    from scenedetect import ContentDetector, FrameTimecode

    cv2.setNumThreads(0)  # parallel over files, not within one
    detector, times, cuts = ContentDetector(), [], []
    for number, (time, picture) in enumerate(frames):
        times.append(time)
        # Any rate: the detector counts frames, and their times are ours.
        cuts += detector.process_frame(FrameTimecode(number, 25.0), picture)
    return [times[cut.frame_num] for cut in cuts if 0 < cut.frame_num < len(times)]
