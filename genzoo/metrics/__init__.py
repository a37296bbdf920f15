"""Figures of merit."""

from genzoo.metrics.coverage import density_and_coverage, mode_coverage, precision_and_recall
from genzoo.metrics.features import (
    ClassifierFeatures,
    InceptionFeatures,
    KerasFeatures,
    ValueFeatures,
)
from genzoo.metrics.frechet import extrapolated_frechet_distance, frechet_distance
from genzoo.metrics.inception import InceptionScore, inception_score
from genzoo.metrics.kernel import kernel_distance, maximum_mean_discrepancy
from genzoo.metrics.log_likelihood import likelihood_report, perplexity
from genzoo.metrics.moments import Moments
from genzoo.metrics.parzen import parzen_log_prob
from genzoo.metrics.two_sample import classifier_two_sample_test

__all__ = [
    "ClassifierFeatures",
    "InceptionFeatures",
    "InceptionScore",
    "KerasFeatures",
    "Moments",
    "ValueFeatures",
    "classifier_two_sample_test",
    "density_and_coverage",
    "extrapolated_frechet_distance",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "likelihood_report",
    "maximum_mean_discrepancy",
    "mode_coverage",
    "parzen_log_prob",
    "perplexity",
    "precision_and_recall",
]
