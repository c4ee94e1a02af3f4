"""Datamodules, one file a family of data sets."""

from aal import give_way

if __name__ != "aal.datamodules":
    give_way(__name__)

from aal.datamodules.abalone import Abalone
from aal.datamodules.audio_set import AudioSet
from aal.datamodules.base import ActiveDataModule
from aal.datamodules.beta_sampling import BetaSampling
from aal.datamodules.breast_cancer import BreastCancer
from aal.datamodules.cifar10 import CIFAR10
from aal.datamodules.csv_table import CSVTable
from aal.datamodules.digits import Digits
from aal.datamodules.half_moons import HalfMoons
from aal.datamodules.image_folder import ImageFolder
from aal.datamodules.mnist import MNIST
from aal.datamodules.quickdraw import QuickDraw
from aal.datamodules.speech_commands import SpeechCommands
from aal.datamodules.stl10 import STL10
from aal.datamodules.toy_mixture import ToyMixture

__all__ = [
    "CIFAR10",
    "MNIST",
    "STL10",
    "Abalone",
    "ActiveDataModule",
    "AudioSet",
    "BetaSampling",
    "BreastCancer",
    "CSVTable",
    "Digits",
    "HalfMoons",
    "ImageFolder",
    "QuickDraw",
    "SpeechCommands",
    "ToyMixture",
]
