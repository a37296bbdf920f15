"""The way to the base through many steps without keeping what each of them computed."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from genzoo.core.maths.gradients import here
from genzoo.steps.base import FlowStep


def inverse_and_log_det(
    steps: Sequence[FlowStep],
    run: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    y: tf.Tensor,
    context: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return y on the base side of steps, and the log-det, which gradients compute anew.

    Only the result is kept. The gradient goes back from it: a step's input is its image under the
    forward map, so memory does not grow with the number of steps, and each step is computed three
    times instead of once.

    Args:
        steps: From the base to the data.
        run: Of `step, method, x, context, values`: the method with these weights.
        y: [n, *event_shape].
        context: Encoded context [n, context_size], or `None`.

    Reference: Gomez et al., The reversible residual network: backpropagation without storing
    activations, 2017.
    """
    given = [y] if context is None else [y, context]
    counts = [len(step.variables) for step in steps]
    weights = [tf.convert_to_tensor(v.value) for step in steps for v in step.variables]

    def split(tensors):
        point, context = (*tensors[: len(given)], None)[:2]
        return point, context, _parts(tensors[len(given) :], counts)

    @tf.custom_gradient
    def through(*tensors):
        tensors = here(*tensors)
        point, context, values = split(tensors)
        total = tf.zeros([tf.shape(point)[0]], point.dtype)
        for step, own in zip(reversed(steps), reversed(values), strict=True):
            point, log_det = run(step, "inverse_and_log_det", point, context, own)
            total += log_det
        return (point, total), functools.partial(gradients, point, tensors)

    @tf.custom_gradient
    def known(point, *tensors):
        point, *tensors = here(point, *tensors)

        def back(upstream):
            return [None, *gradients(point, tensors, upstream, None)]

        return point, back

    def gradients(point, tensors, grad_point, grad_total):
        _, context, values = split(tensors)
        grad_context, grad_weights = None, []
        # the result once more, which depends on the tensors in its turn
        after = known(point, *tensors)
        for step, own in zip(steps, values, strict=True):
            # else all steps may be computed anew before the first gradient frees its own
            with tf.control_dependencies([grad_point]):
                after = tf.identity(after)
            before, _ = run(step, "forward_and_log_det", after, context, own)
            sources = [before, *([] if context is None else [context]), *own]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([source for source in sources if source.dtype.is_floating])
                result, log_det = run(step, "inverse_and_log_det", before, context, own)
                log_det += tf.zeros([tf.shape(before)[0]], before.dtype)
            targets, upstream = [result], [grad_point]
            if grad_total is not None:
                targets, upstream = [result, log_det], [grad_point, grad_total]
            grads = tape.gradient(targets, sources, upstream)
            grad_point, after = grads[0], before
            if context is not None and grads[1] is not None:
                grad_context = grads[1] if grad_context is None else grad_context + grads[1]
            grad_weights += grads[len(given) :]
        return [grad_point, *([] if context is None else [grad_context]), *grad_weights]

    return through(*given, *weights)


def _parts(values, counts):
    parts, start = [], 0
    for count in counts:
        parts.append(values[start : start + count])
        start += count
    return parts
