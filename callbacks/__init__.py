"""What happens between and around the rounds of training, one callback a file."""

from callbacks.adversarial_retraining import AdversarialRetraining
from callbacks.label_flip import LabelFlip
from callbacks.poison_injection import PoisonInjection
from callbacks.poisoning import Poisoning
from callbacks.query_rounds import QueryRounds
from callbacks.replay_ledger import ReplayLedger
from callbacks.robust_evaluation import RobustEvaluation
from callbacks.round_callback import RoundCallback
from callbacks.round_checkpoint import RoundCheckpoint, WholeCheckpointIO, last_checkpoint
from callbacks.round_progress import RoundProgress
from callbacks.rounds import Rounds
from callbacks.run_records import RunRecords
from callbacks.secured_set import SecuredSet
from callbacks.stop_rule import StopRule
from callbacks.targeted_poison import TargetedPoison
from callbacks.targeted_sets import TargetedSets

__all__ = [
    "AdversarialRetraining",
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
    "StopRule",
    "TargetedPoison",
    "TargetedSets",
    "WholeCheckpointIO",
    "last_checkpoint",
]
