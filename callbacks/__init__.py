"""What happens between and around the rounds of training, one callback a file."""

from callbacks.poison_injection import PoisonInjection
from callbacks.query_rounds import QueryRounds
from callbacks.robust_evaluation import RobustEvaluation
from callbacks.round_callback import RoundCallback
from callbacks.round_checkpoint import RoundCheckpoint, WholeCheckpointIO, last_checkpoint
from callbacks.round_progress import RoundProgress
from callbacks.rounds import Rounds
from callbacks.run_records import RunRecords

__all__ = [
    "PoisonInjection",
    "QueryRounds",
    "RobustEvaluation",
    "RoundCallback",
    "RoundCheckpoint",
    "RoundProgress",
    "Rounds",
    "RunRecords",
    "WholeCheckpointIO",
    "last_checkpoint",
]
