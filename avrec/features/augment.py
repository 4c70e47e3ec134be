"""Frames and log-mel patches changed at random, for training alone: extraction never comes here.

Everything is drawn from the seed: the same seed gives the same changes, so that training can go on after a kill.
"""

from __future__ import annotations

from typing import Any

from avrec.features.tensorflow import load
from avrec.params import AugmentParams

Seed = tuple[int, int]


def augment_frames(frames: Any, params: AugmentParams, seed: Seed) -> Any:
    """Crops, flips and colour jitter, drawn for each frame on its own.

    Args:
        frames: `[n, height, width, 3]`, uint8 or float32 from 0 to 255.
        params: What may be changed, and how far.
        seed: Decides what is.

    Returns:
        The same shape and dtype.
    """
    tf = load()
    n, height, width = frames.shape[:3]
    x = tf.cast(frames, tf.float32)
    if n == 0:
        return tf.constant(frames)

    def draw(number: int, low: float, high: float, *shape: int) -> Any:
        return tf.random.stateless_uniform([n, *shape], [seed[0], seed[1] + number], low, high)

    if params.crop < 1.0:
        side = draw(0, params.crop, 1.0, 1)
        corner = draw(1, 0.0, 1.0, 2) * (1.0 - side)
        x = tf.image.crop_and_resize(x, tf.concat([corner, corner + side], axis=1), tf.range(n), [height, width])
    if params.flip:
        x = tf.where(draw(2, 0.0, 1.0, 1, 1, 1) < 0.5, x[:, :, ::-1], x)
    if params.jitter > 0.0:
        brightness, contrast, saturation = (draw(i, -params.jitter, params.jitter, 1, 1, 1) for i in (3, 4, 5))
        grey = tf.image.rgb_to_grayscale(x)
        x = grey + (x - grey) * (1.0 + saturation)
        mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
        x = mean + (x - mean) * (1.0 + contrast) + 255.0 * brightness
    x = tf.clip_by_value(x, 0.0, 255.0)
    return tf.cast(tf.round(x) if frames.dtype == tf.uint8 else x, frames.dtype)


def augment_patches(log_mel: Any, params: AugmentParams, seed: Seed) -> Any:
    """Shift in time, noise, and a masked band of frequencies and of time, drawn for each patch on its own.

    The masks are those of SpecAugment (Park et al., Interspeech 2019), as tensorflow-io has them; what is masked
    becomes the patch's mean. They draw from TensorFlow's global generator, which is therefore set to the seed: to be
    called eagerly, not from within a `tf.function`.

    Args:
        log_mel: `[n, frames, mels]` float32.
        params: What may be changed, and how far.
        seed: Decides what is.

    Returns:
        The same shape and dtype.
    """
    tf = load()
    import tensorflow_io as tfio

    x = tf.convert_to_tensor(log_mel)
    n, frames, _ = x.shape
    if n == 0:
        return x
    if params.shift > 0:
        steps = tf.random.stateless_uniform([n, 1], seed, -params.shift, params.shift + 1, tf.int32)
        x = tf.gather(x, (tf.range(frames)[None, :] - steps) % frames, axis=1, batch_dims=1)
    if params.noise > 0.0:
        x += tf.random.stateless_normal(x.shape, (seed[0], seed[1] + 1), stddev=params.noise)
    tf.random.set_seed(seed[0] * 1_000_003 + seed[1])
    mean = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
    masked = list(tf.unstack(x - mean))  # tensorflow-io masks one spectrogram at a time
    if params.freq_mask > 0:
        masked = [tfio.audio.freq_mask(patch, param=params.freq_mask + 1) for patch in masked]
    if params.time_mask > 0:
        masked = [tfio.audio.time_mask(patch, param=params.time_mask + 1) for patch in masked]
    return tf.stack(masked) + mean
