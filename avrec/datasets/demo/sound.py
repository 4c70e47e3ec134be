"""Sounds of the demo set: eight kinds, each a timbre, a rhythm, a harmony and a share of noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avrec.datasets.demo.catalogue import SAMPLE_RATE, SOUNDS

Wave = npt.NDArray[np.float64]

_SCALE = np.array([0, 2, 4, 7, 9, 12, 14, 16])
_VOWELS = ((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840))


def waveform(sound: int, seed: int, seconds: float) -> npt.NDArray[np.float32]:
    """Samples `[round(seconds * 22050)]` float32 within -0.9 and 0.9."""
    rng = np.random.default_rng([seed, 11])
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = _SYNTHS[SOUNDS[sound]](t, rng) + rng.normal(0, 0.004, len(t))
    return (wave / max(float(np.abs(wave).max()), 1e-9) * rng.uniform(0.45, 0.9)).astype(np.float32)


def _note(rng: np.random.Generator, low: float) -> float:
    return float(low * 2.0 ** (rng.choice(_SCALE) / 12))


def _add(wave: Wave, start: float, part: Wave) -> None:
    first = int(start * SAMPLE_RATE)
    part = part[: max(0, len(wave) - first)]
    wave[first : first + len(part)] += part


def _time(seconds: float) -> Wave:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _band(noise: Wave, low: float, high: float) -> Wave:
    """The part of `noise` between two frequencies, cut in the spectrum."""
    spectrum = np.fft.rfft(noise)
    frequency = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    return np.asarray(np.fft.irfft(spectrum, len(noise)))


def _pads(t: Wave, rng: np.random.Generator) -> Wave:
    """Slow chords of strings."""
    root = rng.uniform(110, 165)
    wave = np.zeros_like(t)
    for change, shift in enumerate((0, 5, 7)):
        part = _time(2.4)
        chord = [root * 2 ** ((shift + step) / 12) for step in (0, 4, 7, 12)]
        tone = sum(np.sin(2 * np.pi * f * h * part + 3 * rng.random()) / h**1.3 for f in chord for h in (1, 2, 3, 4, 5))
        _add(wave, change * 1.8, tone * np.hanning(len(part)) * (1 + 0.15 * np.sin(2 * np.pi * 5 * part)))
    return wave


def _beat(t: Wave, rng: np.random.Generator) -> Wave:
    """Drums and a bass line."""
    step = 60 / rng.uniform(100, 140) / 2
    wave = np.zeros_like(t)
    bass = rng.uniform(50, 70)
    for index in range(int(t[-1] / step) + 1):
        part = _time(0.25)
        if index % 2 == 0:
            kick = np.sin(2 * np.pi * (50 * part + 12 * (1 - np.exp(-part * 30)))) * np.exp(-part * 14)
            _add(wave, index * step, 1.5 * kick)
        if index % 4 == 2:
            _add(wave, index * step, rng.normal(0, 0.5, len(part)) * np.exp(-part * 22))
        _add(wave, index * step, _band(rng.normal(0, 0.4, len(part)), 6000, 10000) * np.exp(-part * 60))
        _add(
            wave,
            index * step,
            0.4 * np.sign(np.sin(2 * np.pi * bass * (1 + index % 3 * 0.5) * part)) * np.exp(-part * 9),
        )
    return wave


def _bells(t: Wave, rng: np.random.Generator) -> Wave:
    """A tune on bells: inharmonic partials that ring."""
    wave = np.zeros_like(t)
    step = rng.uniform(0.22, 0.42)
    for index in range(int(t[-1] / step) + 1):
        part, f = _time(1.2), _note(rng, rng.choice([523.0, 659.0]))
        partials = ((1, 1.0), (2.76, 0.5), (5.4, 0.25), (8.9, 0.1))
        _add(
            wave, index * step, sum(a * np.sin(2 * np.pi * f * r * part) * np.exp(-part * (3 + r)) for r, a in partials)
        )
    return wave


def _chirps(t: Wave, rng: np.random.Generator) -> Wave:
    """Birds: quick sweeps between 2 and 6 kHz."""
    wave = 0.02 * _band(rng.normal(size=len(t)), 500, 4000)
    moment = rng.uniform(0, 0.3)
    while moment < t[-1]:
        base, sweep = rng.uniform(2200, 4500), rng.uniform(-1200, 1500)
        for repeat in range(int(rng.integers(1, 5))):
            part = _time(rng.uniform(0.06, 0.14))
            phase = 2 * np.pi * (base * part + sweep * part**2 / part[-1] / 2 + 8 * np.sin(2 * np.pi * 28 * part) / 28)
            _add(wave, moment + repeat * 0.16, np.sin(phase) * np.hanning(len(part)))
        moment += rng.uniform(0.35, 0.9)
    return wave


def _rain(t: Wave, rng: np.random.Generator) -> Wave:
    """Noise with drops in it."""
    wave = 0.4 * _band(rng.normal(size=len(t)), 400, 9000) * (1 + 0.2 * np.sin(2 * np.pi * 0.3 * t))
    for moment in rng.uniform(0, t[-1], int(60 * t[-1])):
        part = _time(0.012)
        _add(wave, moment, rng.uniform(0.2, 1.2) * rng.normal(size=len(part)) * np.exp(-part * 400))
    return np.asarray(wave)


def _engine(t: Wave, rng: np.random.Generator) -> Wave:
    """A motor: a low saw whose speed wanders, with rumble."""
    speed = rng.uniform(38, 70) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.1, 0.35) * t))
    phase = np.cumsum(speed) / SAMPLE_RATE
    saw = sum(np.sin(2 * np.pi * h * phase) / h**0.8 for h in range(1, 24))
    return np.asarray(saw * (1 + 0.4 * np.sin(np.pi * phase)) + 0.8 * _band(rng.normal(size=len(t)), 30, 600))


def _ticks(t: Wave, rng: np.random.Generator) -> Wave:
    """A clock: two kinds of dry clicks, evenly spaced."""
    wave = np.zeros_like(t)
    step = rng.uniform(0.24, 0.5)
    pitch = rng.uniform(1800, 3200)
    for index in range(int(t[-1] / step) + 1):
        part = _time(0.03)
        f = pitch * (1.0 if index % 2 else 1.35)
        click = (np.sin(2 * np.pi * f * part) + rng.normal(0, 0.5, len(part))) * np.exp(-part * 220)
        _add(wave, index * step, click)
    return wave


def _voice(t: Wave, rng: np.random.Generator) -> Wave:
    """Babble: a glottal buzz through moving formants, in syllables."""
    wave = np.zeros_like(t)
    pitch, moment = rng.uniform(95, 220), 0.1
    while moment < t[-1]:
        part = _time(rng.uniform(0.12, 0.28))
        fundamental = pitch * rng.uniform(0.9, 1.15)
        first, second = _VOWELS[int(rng.integers(len(_VOWELS)))]
        syllable = np.zeros_like(part)
        for h in range(1, int(4000 / fundamental)):
            f = h * fundamental
            gain = np.exp(-(((f - first) / 120) ** 2)) + 0.6 * np.exp(-(((f - second) / 180) ** 2)) + 0.02
            syllable += gain * np.sin(2 * np.pi * f * part * (1 - 0.03 * part))
        _add(wave, moment, syllable * np.hanning(len(part)))
        if rng.random() < 0.4:
            hiss = _time(0.07)
            _add(wave, moment - 0.05, 0.4 * _band(rng.normal(size=len(hiss)), 3500, 8000) * np.hanning(len(hiss)))
        moment += len(part) / SAMPLE_RATE + (rng.uniform(0.2, 0.5) if rng.random() < 0.2 else 0.03)
    return wave


_SYNTHS = {
    "pads": _pads, "beat": _beat, "bells": _bells, "chirps": _chirps,
    "rain": _rain, "engine": _engine, "ticks": _ticks, "voice": _voice,
}  # fmt: skip
