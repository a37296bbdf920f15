"""Information criteria: the likelihood less a price for each parameter."""

import math


def information_criteria(log_prob: float, num_free: int, num_observations: int) -> dict[str, float]:
    """Return `bic` and `aic`; lower is better.

    Args:
        log_prob: Of all the data, in nats.
        num_free: Numbers that were fitted.
        num_observations: Rows, or steps of sequences.

    Reference: Schwarz, Estimating the dimension of a model, 1978. Akaike, A new look at the
    statistical model identification, 1974.
    """
    return {
        "bic": num_free * math.log(num_observations) - 2 * log_prob,
        "aic": 2 * num_free - 2 * log_prob,
    }
