"""Datamodules, one file a family of data sets."""

from datamodules.base import ActiveDataModule
from datamodules.digits import Digits

__all__ = ["ActiveDataModule", "Digits"]
