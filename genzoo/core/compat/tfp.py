"""Private names of TensorFlow Probability."""

import tensorflow_probability as tfp


class Uncached:
    """Mixin, before a `tfb.Bijector`: it remembers nothing from call to call."""

    @property
    def _cache(self):
        """What TFP asks for what a point became before.

        Private name: `tfp.bijectors.Bijector._cache`, its methods `forward`, `inverse`,
            `forward_attributes` and `inverse_attributes`.
        Reason: TFP's cache is global and keeps every graph for good; its answers stay when weights
            change.
        Upstream: https://github.com/tensorflow/probability/issues/1510
        Seen with: TFP 0.25.0.
        Without it: memory grows with each graph, and a chain of steps gives images by weights of
            before.
        """
        return _NoCache(self)


class _NoCache:
    """Stands for TFP's cache."""

    def __init__(self, bijector: tfp.bijectors.Bijector):
        self.forward, self.inverse = bijector._forward, bijector._inverse

    def forward_attributes(self, x):
        return {}

    def inverse_attributes(self, y):
        return {}


def of_any_parts(cls: type) -> type:
    """Return the class that a TFP class makes of parts that are not composite tensors.

    Private name: the base of a class, such as `_Chain` of `tfp.bijectors.Chain`, of its objects.
    Reason: a composite tensor, which an object of a subclass would be, is taken apart where it
        stands in another module, and the variables in parts that are none are lost.
    Upstream: none found; https://github.com/tensorflow/probability/issues/1997 looks alike.
    Seen with: TFP 0.25.0.
    Without it: the class itself is returned, and `trainable_variables` of what holds a flow are
        missing.

    Args:
        cls: Such as `tfp.bijectors.Chain` or `tfp.distributions.TransformedDistribution`.
    """
    base = cls.__bases__[0]
    return base if base.__name__ == f"_{cls.__name__}" else cls
