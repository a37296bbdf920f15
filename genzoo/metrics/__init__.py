"""Figures of merit."""

from genzoo.metrics.frechet import ClassifierFeatures, frechet_distance
from genzoo.metrics.likelihood import likelihood_report

__all__ = ["ClassifierFeatures", "frechet_distance", "likelihood_report"]
