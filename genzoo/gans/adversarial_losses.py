"""Adversarial losses, of the discriminator's scores: higher is more real."""

import tensorflow as tf


class MinimaxLoss:
    """The two-player game on the likelihood of real or generated; scores are log-odds.

    Args:
        label_smoothing: How far the target of real data stays below 1.

    Reference: Goodfellow et al., Generative adversarial networks, 2014; Salimans et al., Improved
    techniques for training GANs, 2016 (one-sided label smoothing).
    """

    smooths = True
    # a score above it counts as real; None: above the middle of the means of both kinds
    boundary = 0.0

    def __init__(self, label_smoothing: float = 0.0):
        self.target = 1.0 - label_smoothing

    def on_real(self, score: tf.Tensor) -> tf.Tensor:
        """Return the discriminator's loss on real data, [n]."""
        return tf.nn.softplus(score) - self.target * score

    def on_generated(self, score: tf.Tensor) -> tf.Tensor:
        """Return the discriminator's loss on generated data, [n]."""
        return tf.nn.softplus(score)

    def generator(self, score: tf.Tensor) -> tf.Tensor:
        """Return the generator's loss, [n]."""
        return -tf.nn.softplus(score)


class NonSaturatingLoss(MinimaxLoss):
    """The same game; the generator raises the log-probability of real, whose gradient stays.

    Reference: Goodfellow et al., Generative adversarial networks, 2014.
    """

    def generator(self, score):
        return tf.nn.softplus(-score)


class LeastSquaresLoss(MinimaxLoss):
    """Scores are drawn to 1 on real data and to 0 on generated.

    Reference: Mao et al., Least squares generative adversarial networks, 2017.
    """

    boundary = 0.5

    def on_real(self, score):
        return 0.5 * tf.square(score - self.target)

    def on_generated(self, score):
        return 0.5 * tf.square(score)

    def generator(self, score):
        return 0.5 * tf.square(score - 1.0)


class WassersteinLoss(MinimaxLoss):
    """The difference of the mean scores, for a critic held to slopes of at most 1.

    Reference: Arjovsky, Chintala and Bottou, Wasserstein generative adversarial networks, 2017.
    """

    smooths = False
    boundary = None

    def on_real(self, score):
        return -score

    def on_generated(self, score):
        return score

    def generator(self, score):
        return -score


class HingeLoss(WassersteinLoss):
    """The discriminator asks for a margin of 1 on either side of 0.

    Reference: Lim and Ye, Geometric GAN, 2017.
    """

    boundary = 0.0

    def on_real(self, score):
        return tf.nn.relu(1.0 - score)

    def on_generated(self, score):
        return tf.nn.relu(1.0 + score)


LOSSES = {
    "minimax": MinimaxLoss,
    "non_saturating": NonSaturatingLoss,
    "least_squares": LeastSquaresLoss,
    "wasserstein": WassersteinLoss,
    "hinge": HingeLoss,
}
