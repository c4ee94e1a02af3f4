"""Samples in memory, audio files, and how a data set is split."""
