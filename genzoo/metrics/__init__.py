"""Figures of merit."""

from genzoo.metrics.coverage import density_and_coverage, mode_coverage
from genzoo.metrics.frechet import ClassifierFeatures, frechet_distance
from genzoo.metrics.likelihood import likelihood_report
from genzoo.metrics.parzen import parzen_log_prob

__all__ = [
    "ClassifierFeatures",
    "density_and_coverage",
    "frechet_distance",
    "likelihood_report",
    "mode_coverage",
    "parzen_log_prob",
]
