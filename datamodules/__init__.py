"""Datamodules, one file a family of data sets."""

from datamodules.audio_set import AudioSet
from datamodules.base import ActiveDataModule
from datamodules.cifar10 import CIFAR10
from datamodules.digits import Digits
from datamodules.image_folder import ImageFolder
from datamodules.mnist import MNIST
from datamodules.quickdraw import QuickDraw
from datamodules.speech_commands import SpeechCommands
from datamodules.stl10 import STL10
from datamodules.toy_mixture import ToyMixture

__all__ = [
    "CIFAR10",
    "MNIST",
    "STL10",
    "ActiveDataModule",
    "AudioSet",
    "Digits",
    "ImageFolder",
    "QuickDraw",
    "SpeechCommands",
    "ToyMixture",
]
