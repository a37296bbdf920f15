"""The way to the base through many steps without keeping what each of them computed."""

from collections.abc import Callable, Sequence

import tensorflow as tf

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

    @tf.custom_gradient
    def through(*tensors):
        point, context = (*tensors[: len(given)], None)[:2]
        values = _parts(tensors[len(given) :], counts)
        total = tf.zeros([tf.shape(point)[0]], point.dtype)
        for step, own in zip(reversed(steps), reversed(values), strict=True):
            point, log_det = run(step, "inverse_and_log_det", point, context, own)
            total += log_det

        def gradients(grad_point, grad_total):
            after, grad_context, grad_weights = point, None, []
            for step, own in zip(steps, values, strict=True):
                # else all steps may be computed anew before the first gradient frees its own
                with tf.control_dependencies([grad_point]):
                    after = tf.identity(after)
                before = tf.stop_gradient(run(step, "forward_and_log_det", after, context, own)[0])
                sources = [before, *([] if context is None else [context]), *own]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([source for source in sources if source.dtype.is_floating])
                    result, log_det = run(step, "inverse_and_log_det", before, context, own)
                    log_det += tf.zeros_like(grad_total)
                grads = tape.gradient([result, log_det], sources, [grad_point, grad_total])
                grad_point, after = grads[0], before
                if context is not None and grads[1] is not None:
                    grad_context = grads[1] if grad_context is None else grad_context + grads[1]
                grad_weights += grads[len(given) :]
            return [grad_point, *([] if context is None else [grad_context]), *grad_weights]

        return (point, total), gradients

    return through(*given, *weights)


def _parts(values, counts):
    parts, start = [], 0
    for count in counts:
        parts.append(values[start : start + count])
        start += count
    return parts
