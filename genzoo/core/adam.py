"""Adam with one fused kernel a variable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("genzoo")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, whose update is one TensorFlow kernel in place of twelve.

    The same arguments, numbers and saved state; the graph of a training step is shorter, so the
    first step comes sooner. With `amsgrad`, and for sparse gradients, it is Keras's own.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization, 2015.
    """

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        powers = self._powers
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.cast(powers[0], variable.dtype),
            beta2_power=tf.cast(powers[1], variable.dtype),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # TensorFlow keeps the graph of every reduction for good, even over one replica
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync == 1:
            return list(grads_and_vars)
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def _distributed_tf_update_step(self, distribution, grads_and_vars, learning_rate):
        # once for all variables: these scalars were half of the graph of an update
        step = tf.cast(self.iterations.value + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super()._distributed_tf_update_step(distribution, grads_and_vars, learning_rate)
        del self._powers
