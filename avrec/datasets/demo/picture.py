"""Pictures of the demo set: eight looks, each a palette, a texture and a way of moving."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from avrec.datasets.demo.catalogue import FPS, LOOKS, SIZE

Field = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]

_PALETTES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "rings": ((90, 20, 10), (230, 110, 30), (255, 225, 150)),
    "stripes": ((10, 40, 90), (250, 250, 250), (200, 30, 50)),
    "checker": ((15, 15, 15), (240, 240, 235), (90, 90, 90)),
    "plasma": ((20, 90, 140), (70, 190, 180), (220, 245, 220)),
    "dots": ((250, 200, 215), (235, 70, 140), (120, 20, 110)),
    "bars": ((20, 10, 50), (90, 60, 220), (80, 255, 200)),
    "stars": ((3, 4, 16), (40, 50, 110), (255, 255, 240)),
    "grain": ((40, 60, 20), (110, 130, 60), (200, 190, 130)),
}


def frames(look: int, topic: int, seed: int, seconds: float) -> Iterator[Frame]:
    """Yields frames `[108, 192, 3]` uint8 RGB at 12 a second."""
    rng = np.random.default_rng([seed, 10])
    name = LOOKS[look]
    draw = _FIELDS[name]
    colours = _lookup(name, rng)
    grid = _grid()
    shape = {key: rng.random() for key in ("scale", "speed", "angle", "phase")}
    noise = rng.random((SIZE[1], SIZE[0]), dtype=np.float32)
    actor = (rng.uniform(-0.5, 0.5), rng.uniform(0.5, 1.5), rng.uniform(0.10, 0.16))
    for index in range(round(seconds * FPS)):
        moment = index / FPS
        frame = colours[(np.clip(draw(grid, moment, shape, noise), 0, 1) * 255).astype(np.uint8)]
        frame[_actor(grid, topic, moment, actor)] = colours[255 - 40 * (topic % 3)][::-1]
        yield frame


def _grid() -> tuple[Field, Field]:
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x - width / 2) / (height / 2), (y - height / 2) / (height / 2)


def _lookup(name: str, rng: np.random.Generator) -> Frame:
    """256 colours through the palette, each video a little off."""
    stops = np.array(_PALETTES[name], dtype=np.float64) + rng.normal(0, 12, (3, 3))
    positions = np.linspace(0, 255, 3)
    channels = [np.interp(np.arange(256), positions, stops[:, c]) for c in range(3)]
    return np.clip(np.stack(channels, axis=1), 0, 255).astype(np.uint8)


def _rings(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    radius = np.hypot(grid[0], grid[1])
    wave = np.sin(radius * (9 + 9 * p["scale"]) - t * (3 + 4 * p["speed"]) + 6 * p["phase"])
    return np.asarray(0.5 + 0.5 * wave, np.float32)


def _stripes(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    along = grid[0] * np.float32(np.cos(0.4 + p["angle"])) + grid[1] * np.float32(np.sin(0.4 + p["angle"]))
    return ((along * (2 + 2 * p["scale"]) + t * (0.4 + p["speed"])) % 1.0 > 0.5) * 0.5 + 0.1 * noise


def _checker(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    size = 2.5 + 2.5 * p["scale"]
    cells = np.floor(grid[0] * size + t * 0.6 * p["speed"]) + np.floor(grid[1] * size)
    return np.asarray(cells % 2 * 0.5 + 0.08 * noise, np.float32)


def _plasma(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    x, y = grid
    wave = np.sin(x * (1 + p["scale"]) + t * 0.7) + np.sin(y * 1.7 - t * 0.5 + 6 * p["phase"])
    return np.asarray(0.5 + 0.225 * (wave + np.sin((x + y) * 1.2 + t * p["speed"])), np.float32)


def _dots(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    size = 2.2 + 1.6 * p["scale"]
    x = (grid[0] * size + t * 0.3) % 1.0 - 0.5
    y = (grid[1] * size + np.float32(0.2 * np.sin(2 * t * (0.5 + p["speed"])))) % 1.0 - 0.5
    return (np.hypot(x, y) < 0.32).astype(np.float32) * 0.6 + 0.05 * noise


def _bars(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    column = np.floor((grid[0] + 2) * (3 + 2 * p["scale"]))
    height = 0.8 * np.sin(column * 2.1 + t * (3 + 5 * p["speed"])) * np.cos(column * 1.3 - t)
    return np.where(-grid[1] < height, 0.55 + 0.25 * grid[1], 0.05)


def _stars(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    sky = np.roll(noise, int(t * (6 + 18 * p["speed"])), axis=1)
    lights = (sky > 0.993) | (np.roll(sky, 1, axis=0) > 0.993) | (np.roll(sky, 1, axis=1) > 0.9965)
    return np.where(lights, 1.0, 0.10 + 0.12 * (grid[1] + 1) * p["scale"])


def _grain(grid: tuple[Field, Field], t: float, p: dict[str, float], noise: Field) -> Field:
    block = 2 + int(3 * p["scale"])
    coarse = np.kron(noise[:: block * 2, :: block * 2], np.ones((block * 2, block * 2), np.float32))[
        : SIZE[1], : SIZE[0]
    ]
    drift = np.roll(noise, int(t * 9 * (1 + p["speed"])), axis=0)
    return 0.2 + 0.5 * coarse + 0.3 * drift


_FIELDS = {
    "rings": _rings, "stripes": _stripes, "checker": _checker, "plasma": _plasma,
    "dots": _dots, "bars": _bars, "stars": _stars, "grain": _grain,
}  # fmt: skip


def _actor(grid: tuple[Field, Field], topic: int, t: float, actor: tuple[float, float, float]) -> npt.NDArray[np.bool_]:
    """Where a small figure is; its shape goes with the topic modulo four, all that pictures tell of words."""
    start, speed, size = actor
    x = grid[0] - np.float32(1.2 * np.sin(start * 3 + t * speed))
    y = grid[1] - np.float32(0.5 * np.cos(start * 5 + t * speed * 0.8))
    kind = topic % 4
    if kind == 0:
        return np.hypot(x, y) < size
    if kind == 1:
        return np.maximum(abs(x), abs(y)) < size
    if kind == 2:
        return (y < size) & (y > -size) & (abs(x) < (y + size) * 0.6)
    return ((abs(x) < size * 0.35) | (abs(y) < size * 0.35)) & (np.maximum(abs(x), abs(y)) < size * 1.2)
