"""Data sets by name or path, toy sets, and `tf.data` pipelines."""

from genzoo.data.columns import Column
from genzoo.data.datasets import Dataset, load, load_rows, names
from genzoo.data.pipelines import pipeline
from genzoo.data.tables import CsvTable
from genzoo.data.toy import toy

__all__ = ["Column", "CsvTable", "Dataset", "load", "load_rows", "names", "pipeline", "toy"]
