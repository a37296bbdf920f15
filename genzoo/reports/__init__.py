"""Pages on a trained model, each a single file that a browser opens."""

from genzoo.reports.blind_test import blind_test
from genzoo.reports.report import report

__all__ = ["blind_test", "report"]
