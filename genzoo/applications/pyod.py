"""PyODAdapter: a detector with PyOD's conventions, without PyOD."""

from typing import Any

import numpy as np
from scipy.special import erf
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from genzoo.applications.anomaly import AnomalyDetector
from genzoo.core import checks


class PyODAdapter(BaseEstimator):
    """An `AnomalyDetector` that keeps the conventions of PyOD's `BaseDetector`.

    Higher scores are more anomalous and labels are 0 (usual) and 1 (anomaly). It goes where PyOD's
    own detectors go: their combination, comparison and threshold tools.

    Args:
        detector: An `AnomalyDetector`; `None` for the default one.
        contamination: Share of the training rows to label as anomalies, at most 0.5.

    Attributes:
        decision_scores_: Of the training rows, [n]; the default model's are out of sample.
        threshold_: The score above which a row is an anomaly.
        labels_: 0 or 1 for each training row, [n].
        detector_: The fitted detector.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> adapter = genzoo.applications.PyODAdapter(contamination=0.1).fit(x)
    >>> int(adapter.labels_.sum()), adapter.predict(np.array([[0.0, 0.0], [9.0, 9.0]])).tolist()
    (20, [0, 1])

    Reference: Zhao, Nasrullah and Li, PyOD: a Python toolbox for scalable outlier detection, 2019;
    Kriegel et al., Interpreting and unifying outlier scores, 2011.
    """

    def __init__(self, detector: AnomalyDetector | None = None, contamination: float = 0.1):
        self.detector = detector
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> "PyODAdapter":
        """Fit the detector; `y` is ignored."""
        detector = AnomalyDetector() if self.detector is None else clone(self.detector)
        self.detector_ = detector.set_params(contamination=self.contamination).fit(X)
        self.decision_scores_ = -self.detector_.training_scores(X)
        self.threshold_ = float(np.quantile(self.decision_scores_, 1 - self.contamination))
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        self._mu, self._sigma = self.decision_scores_.mean(), self.decision_scores_.std()
        self._classes = 2
        return self

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit and return the labels of the training rows, [n]."""
        return self.fit(X, y).labels_

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores of rows, [n]; higher is more anomalous."""
        check_is_fitted(self, "threshold_")
        return -self.detector_.score_samples(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return 0 for usual rows and 1 for anomalies, [n]."""
        return (self.decision_function(X) > self.threshold_).astype(int)

    def predict_proba(self, X: Any, method: str = "linear") -> np.ndarray:
        """Return scores as shares [n, 2]: of usual, of anomaly.

        Args:
            X: Rows.
            method: `"linear"` (the range of the training scores to [0, 1]) or `"unify"` (by the
                normal distribution of the training scores).
        """
        checks.check_choice(method, ("linear", "unify"), "method")
        scores = self.decision_function(X)
        if method == "linear":
            low, high = self.decision_scores_.min(), self.decision_scores_.max()
            anomaly = (scores - low) / max(high - low, 1e-300)
        else:
            anomaly = erf((scores - self._mu) / max(self._sigma * np.sqrt(2), 1e-300))
        anomaly = np.clip(anomaly, 0.0, 1.0)
        return np.stack([1 - anomaly, anomaly], axis=1)
