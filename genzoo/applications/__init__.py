"""What generative models are trained for, behind the interfaces that their users know."""

from genzoo.applications.anomaly import AnomalyDetector
from genzoo.applications.augmentation import Augmenter
from genzoo.applications.ensemble import DensityEnsemble
from genzoo.applications.imputation import Imputer
from genzoo.applications.pyod import PyODAdapter
from genzoo.applications.table_preprocessor import TablePreprocessor

__all__ = [
    "AnomalyDetector",
    "Augmenter",
    "DensityEnsemble",
    "Imputer",
    "PyODAdapter",
    "TablePreprocessor",
]
