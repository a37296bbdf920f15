"""What users of mixtures, hidden Markov models and imputers report, against other libraries."""

import numpy as np
import pytest

import genzoo
from genzoo.applications import AnomalyDetector


@pytest.mark.parametrize("scalars", [False, True])
@pytest.mark.parametrize("form", [list, np.array])
def test_a_detector_takes_sequences_of_equal_length_for_sequences(form, scalars):
    """Not for tables of as many columns as steps."""
    random = np.random.default_rng(0)

    def walks(n, switches):
        states = np.cumsum(random.random((n, 20)) < switches, axis=1) % 2
        x = 3.0 * states + 0.3 * random.normal(size=states.shape)
        return form([*(x if scalars else x[:, :, None])])

    usual, strange = walks(60, 0.1), walks(20, 0.9)
    detector = AnomalyDetector("hidden_markov_model", num_states=2).fit(usual)
    assert detector.model_.event_shape == (() if scalars else (1,))
    scores = detector.score_samples(strange)
    # nats a step
    exact = detector.model_.log_prob(np.asarray(strange)) / 20
    np.testing.assert_allclose(scores, exact, rtol=1e-5)
    assert (detector.predict(walks(40, 0.1)) == 1).mean() > 0.8
    assert (detector.predict(strange) == -1).mean() > 0.8


def test_a_detector_says_who_takes_sequences():
    ragged = [np.zeros((3, 2)), np.ones((4, 2))]
    with pytest.raises(genzoo.GenzooError, match="hidden_markov_model"):
        AnomalyDetector("realnvp").fit(ragged)
    with pytest.raises(genzoo.GenzooError, match="hidden_markov_model"):
        AnomalyDetector().fit(np.zeros((8, 3, 2)))
    with pytest.raises(genzoo.GenzooError, match=r"X\[1\].*numbers"):
        AnomalyDetector("hidden_markov_model").fit([[1.0, 2.0], ["a", "b"]])
