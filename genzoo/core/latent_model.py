"""LatentModel: what models with a latent space have in common."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from genzoo.core import checks
from genzoo.core.errors import InvalidInputError

PATHS = ("spherical", "linear")


class LatentModel:
    """Mixin of models with a way from the data to points z and a way back.

    A subclass says its `latent_shape`; its law, or the methods here that stand for it, have
    `encode(x, context)`, `decode(z, context)` and `sample_latent(n, context, temperature, seed)`.
    """

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        raise NotImplementedError

    def _encode(self, x, context, first_row) -> tf.Tensor:
        return self.law.encode(x, context)

    def _decode(self, z, context) -> tf.Tensor:
        return self.data_spec.to_data(self.law.decode(z, context))

    def _draw_latent(self, n, context, temperature, seed) -> tf.Tensor:
        return self.law.sample_latent(n, context, temperature=temperature, seed=seed)

    def sample_latent(
        self,
        n: int,
        *,
        context: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draw points of the latent space where samples come from, [n, *latent_shape].

        From the prior of a VAE, learned or not, the base of a flow, the noise of a GAN.

        Args:
            n, context, temperature, seed: As of `sample`.
        """
        name = ("sample_latent",)
        return self._draws(name, self._draw_latent, n, context, temperature, seed)

    def encode(self, x: Any, *, context: Any = None, batch_size: int | None = None) -> np.ndarray:
        """Return the point in latent space of each row, [n, *latent_shape].

        Args:
            x: Array [n, *event_shape]; a flow takes integers by the middle of their bins.
            context: As in `fit`, for conditional models.
            batch_size: Rows at a time on each replica.
        """
        data, batch_size = self._read_rows("encode", x, context, batch_size)
        return np.concatenate(list(self.map_rows("encode", self._encode, data, batch_size)))

    def decode(self, z: Any, *, context: Any = None) -> np.ndarray:
        """Return the data that points in latent space lead to, in the kind of the data.

        Args:
            z: [n, *latent_shape].
            context: As in `fit`, for conditional models.
        """
        return self.map_latents("decode", self._decode, z, self.latent_shape, context)

    def interpolate(
        self,
        start: Any,
        end: Any,
        num_steps: int = 8,
        *,
        path: str = "spherical",
        context: Any = None,
    ) -> np.ndarray:
        """Return the way from one example to another in latent space.

        Args:
            start, end: Examples [n, *event_shape].
            num_steps: Points on the way, both ends included; at least 2.
            path: `"spherical"`, along a great circle, so that the points on the way are as far
                from the origin as samples are (White 2016); or `"linear"`.
            context: As in `sample`, for conditional models, the same along the way.

        Returns:
            Array [n, num_steps, *event_shape] in the kind of the data.
        """
        z0, z1 = (self.encode(x, context=context) for x in (start, end))
        if len(z0) != len(z1):
            raise InvalidInputError(
                "Expected as many rows in start as in end. "
                f"Received: start of {len(z0)} rows, end of {len(z1)} rows"
            )
        points = path_between(z0, z1, num_steps, path)
        if np.ndim(context) > (self.num_classes is None):
            context = np.repeat(np.asarray(context), points.shape[1], axis=0)
        way = self.decode(points.reshape(-1, *self.latent_shape), context=context)
        return way.reshape(*points.shape[:2], *self.event_shape)

    def export_signatures(self) -> dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]:
        """As in `GenerativeModel`, with `encode(x[, context])` and `decode(z[, context])`."""
        context = [self.context_spec.signature()] if self.context_size else []
        x = tf.TensorSpec([None, *self.event_shape], self.input_dtype, name="x")
        z = tf.TensorSpec([None, *self.latent_shape], self.float_dtype, name="z")

        def encode(x, context=None):
            first_row = tf.constant(0, tf.int64)
            return self._encode(self.to_model(x), self.encode_context(context), first_row)

        def decode(z, context=None):
            return self._decode(z, self.encode_context(context))

        own = {"encode": (encode, [x, *context]), "decode": (decode, [z, *context])}
        return {**super().export_signatures(), **own}


def path_between(
    start: np.ndarray, end: np.ndarray, num_steps: int = 8, path: str = "spherical"
) -> np.ndarray:
    """Return the points on the way from latent points to others, [n, num_steps, *latent_shape].

    Args:
        start, end: [n, *latent_shape].
        num_steps, path: As of `LatentModel.interpolate`.
    """
    num_steps = checks.check_int(num_steps, "num_steps", minimum=2)
    checks.check_choice(path, PATHS, "path")
    n, shape = len(start), start.shape[1:]
    between = _great_circle if path == "spherical" else _straight_line
    points = between(start.reshape(n, -1), end.reshape(n, -1), num_steps)
    return points.reshape(n, num_steps, *shape)


def _straight_line(start: np.ndarray, end: np.ndarray, num_steps: int) -> np.ndarray:
    """Return linear interpolations, [n, num_steps, D]."""
    share = np.linspace(0, 1, num_steps, dtype=start.dtype)[None, :, None]
    return (1 - share) * start[:, None] + share * end[:, None]


def _great_circle(start: np.ndarray, end: np.ndarray, num_steps: int) -> np.ndarray:
    """Return spherical interpolations, [n, num_steps, D]."""
    lengths = [np.linalg.norm(z, axis=1, keepdims=True) + 1e-12 for z in (start, end)]
    cosine = np.sum(start * end, axis=1, keepdims=True) / (lengths[0] * lengths[1])
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None]
    share = np.linspace(0, 1, num_steps, dtype=start.dtype)[None, :, None]
    small = np.sin(angle) < 1e-4
    angle = np.where(small, 1.0, angle)
    first = np.where(small, 1 - share, np.sin((1 - share) * angle) / np.sin(angle))
    second = np.where(small, share, np.sin(share * angle) / np.sin(angle))
    return (first * start[:, None] + second * end[:, None]).astype(start.dtype)
