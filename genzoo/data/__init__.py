"""Data sets by name or path, toy sets, and `tf.data` pipelines."""

from genzoo.data.datasets import Dataset, load, names
from genzoo.data.pipelines import pipeline
from genzoo.data.toy import toy

__all__ = ["Dataset", "load", "names", "pipeline", "toy"]
