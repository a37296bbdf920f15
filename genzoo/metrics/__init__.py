"""Figures of merit."""

from genzoo.metrics.likelihood import likelihood_report

__all__ = ["likelihood_report"]
