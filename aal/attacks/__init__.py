"""Attacks: frozen dataclasses of hyper-parameters, each with one pure call."""

from aal.attacks.base import Adversarial, Attack, frozen
from aal.attacks.collision import CollisionAttack

__all__ = ["Adversarial", "Attack", "CollisionAttack", "frozen"]
