"""The TFP bijector of a step: value and log-det from one pass."""

import tensorflow as tf
import tensorflow_probability as tfp


class StepBijector(tfp.bijectors.Bijector):
    """A flow step at the present values of its weights, as a `tfb.Bijector`.

    TFP asks for the image and the log-det one after the other; here both are computed once for a
    point and remembered. Made anew for each use, so what it remembers lives as long as one use.

    Args:
        step: A built `FlowStep`.
        context: Encoded context, or `None`.
    """

    def __init__(self, step, context=None):
        self._step, self._context = step, context
        super().__init__(
            forward_min_event_ndims=len(step.base_shape),
            inverse_min_event_ndims=len(step.event_shape),
            dtype=step.variable_dtype,
            validate_args=False,
            # TFP takes bijectors of equal parameters for one, and caches a chain of them so
            parameters={"identity": object()},
            name=step.name,
        )
        self._seen: dict[tuple[str, int], tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]] = {}

    @property
    def _cache(self):
        return _NoCache(self)

    def forward_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the image of `x` and log |det J|."""
        return self._once("forward", "inverse", x)

    def inverse_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the pre-image of `y` and the log |det J| of the inverse."""
        return self._once("inverse", "forward", y)

    def _once(self, direction, opposite, point):
        seen = self._seen.get((direction, id(point)))
        # an id may be used again after its tensor is gone
        if seen is not None and seen[0] is point:
            return seen[1]
        image, log_det = getattr(self._step, f"{direction}_and_log_det")(point, self._context)
        self._seen[direction, id(point)] = point, (image, log_det)
        self._seen[opposite, id(image)] = image, (point, -log_det)
        return image, log_det

    def _forward(self, x):
        return self.forward_and_log_det(x)[0]

    def _forward_log_det_jacobian(self, x):
        return self.forward_and_log_det(x)[1]

    def _inverse(self, y):
        return self.inverse_and_log_det(y)[0]

    def _inverse_log_det_jacobian(self, y):
        return self.inverse_and_log_det(y)[1]

    def _forward_event_shape(self, input_shape):
        return tf.TensorShape(self._step.event_shape)

    def _inverse_event_shape(self, output_shape):
        return tf.TensorShape(self._step.base_shape)

    def _forward_event_shape_tensor(self, input_shape):
        return tf.constant(self._step.event_shape, tf.int32)

    def _inverse_event_shape_tensor(self, output_shape):
        return tf.constant(self._step.base_shape, tf.int32)


class _NoCache:
    """Stands for TFP's cache of bijectors, which is global and would keep every graph for good."""

    def __init__(self, bijector: StepBijector):
        self.forward, self.inverse = bijector._forward, bijector._inverse

    def forward_attributes(self, x):
        return {}

    def inverse_attributes(self, y):
        return {}
