"""What a decoder's output says about the data: one class a distribution.

Each works on flattened events on the model side of the preprocessing, [n, D].
"""

import math

import keras
import tensorflow as tf

_LOG_SCALE_LIMIT = 7.0


@keras.saving.register_keras_serializable("genzoo")
class Bernoulli(keras.layers.Layer):
    """Independent binary values; the decoder gives logits. The data are binarised first."""

    def log_prob(self, x, output):
        """Return log p(x | z), [n], of x in {0, 1}."""
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=output)
        return -tf.reduce_sum(entropy, axis=1)

    def mean(self, output):
        return tf.sigmoid(output)

    def sample(self, output, seed):
        uniform = tf.random.stateless_uniform(tf.shape(output), seed, dtype=output.dtype)
        return tf.cast(uniform < tf.sigmoid(output), output.dtype)


@keras.saving.register_keras_serializable("genzoo")
class Gaussian(keras.layers.Layer):
    """Independent normals with one learned variance for all values; the decoder gives means.

    Reference: Dai and Wipf, Diagnosing and enhancing VAE models, 2019.
    """

    def build(self, input_shape):
        self.log_scale = self.add_weight(shape=(), initializer="zeros", name="log_scale")
        self.built = True

    def _bounded(self):
        return tf.clip_by_value(
            tf.convert_to_tensor(self.log_scale), -_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT
        )

    def log_prob(self, x, output):
        """Return log p(x | z), [n]."""
        log_scale = self._bounded()
        squares = tf.reduce_sum(tf.square(x - output), axis=1) * tf.exp(-2.0 * log_scale)
        size = output.shape[1]
        return -0.5 * squares - size * (log_scale + 0.5 * math.log(2 * math.pi))

    def mean(self, output):
        return output

    def sample(self, output, seed):
        noise = tf.random.stateless_normal(tf.shape(output), seed, dtype=output.dtype)
        return output + tf.exp(self._bounded()) * noise


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}
