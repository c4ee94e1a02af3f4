"""What happens between and around the rounds of training, one callback a file."""

from aal import give_way

if __name__ != "aal.callbacks":
    give_way(__name__)

from aal.callbacks.adversarial_retraining import AdversarialRetraining
from aal.callbacks.known_eta import KnownEta
from aal.callbacks.label_flip import LabelFlip
from aal.callbacks.poison_injection import PoisonInjection
from aal.callbacks.poisoning import Poisoning
from aal.callbacks.query_rounds import QueryRounds
from aal.callbacks.replay_ledger import ReplayLedger
from aal.callbacks.robust_evaluation import RobustEvaluation
from aal.callbacks.round_callback import RoundCallback
from aal.callbacks.round_checkpoint import RoundCheckpoint, WholeCheckpointIO, last_checkpoint
from aal.callbacks.round_progress import RoundProgress
from aal.callbacks.rounds import Rounds
from aal.callbacks.run_records import RunRecords
from aal.callbacks.secured_set import SecuredSet
from aal.callbacks.shadow_rounds import ShadowRounds
from aal.callbacks.stop_rule import StopRule
from aal.callbacks.targeted_poison import TargetedPoison
from aal.callbacks.targeted_sets import TargetedSets
from aal.callbacks.victim_model import VictimModel

__all__ = [
    "AdversarialRetraining",
    "KnownEta",
    "LabelFlip",
    "PoisonInjection",
    "Poisoning",
    "QueryRounds",
    "ReplayLedger",
    "RobustEvaluation",
    "RoundCallback",
    "RoundCheckpoint",
    "RoundProgress",
    "Rounds",
    "RunRecords",
    "SecuredSet",
    "ShadowRounds",
    "StopRule",
    "TargetedPoison",
    "TargetedSets",
    "VictimModel",
    "WholeCheckpointIO",
    "last_checkpoint",
]
