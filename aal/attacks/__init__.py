"""Attacks: frozen dataclasses of hyper-parameters, each with one pure call."""

from aal.attacks.adversarial_path import AdversarialPath
from aal.attacks.apgd import APGD, APGDT
from aal.attacks.auto_attack import AutoAttack
from aal.attacks.base import Adversarial, Attack, Task, frozen
from aal.attacks.carlini_wagner import CarliniWagner
from aal.attacks.collision import CollisionAttack
from aal.attacks.deepfool import DeepFool
from aal.attacks.direct import Direct
from aal.attacks.disturbances import GaussianNoise, SpatialJitter
from aal.attacks.fab import FABT
from aal.attacks.fgsm import BIM, FGSM
from aal.attacks.hop_skip_jump import HopSkipJump
from aal.attacks.kernel_substitution import KernelSubstitution
from aal.attacks.opt import OPT
from aal.attacks.pgd import PGD
from aal.attacks.region_based import RegionBased
from aal.attacks.sign_opt import SignOPT
from aal.attacks.square import Square
from aal.attacks.targeted_collision import TargetedCollision

__all__ = [
    "APGD",
    "APGDT",
    "BIM",
    "FABT",
    "FGSM",
    "OPT",
    "PGD",
    "Adversarial",
    "AdversarialPath",
    "Attack",
    "AutoAttack",
    "CarliniWagner",
    "CollisionAttack",
    "DeepFool",
    "Direct",
    "GaussianNoise",
    "HopSkipJump",
    "KernelSubstitution",
    "RegionBased",
    "SignOPT",
    "SpatialJitter",
    "Square",
    "TargetedCollision",
    "Task",
    "frozen",
]
