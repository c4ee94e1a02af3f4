"""What an environment says of a process's number among others; it holds only where a Trainer has several."""

import os
import re
from collections.abc import MutableMapping

READ_ON_IMPORT = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # by Lightning, as numbers
# What torchrun, srun, MPI, LSF and Lightning tell the processes that they start.
TOLD = re.compile(
    r"((LOCAL|NODE|GROUP|ROLE)_)?RANK|((LOCAL|GROUP|ROLE)_)?WORLD_SIZE|MASTER_(ADDR|PORT)|SLURM_(PROCID|LOCALID|NODEID)|"
    r"SLURM_(STEP_(NUM_)?)?(NTASKS|NPROCS|TASKS)\w*|(TORCHELASTIC|(OMPI|MV2)_COMM_WORLD|PMI|PMIX|JSM_NAMESPACE)_\w+"
)


def forget_ranks(environment: MutableMapping[str, str]) -> None:
    """Remove what tells a process its number among others: it is alone, or starts others itself."""
    for name in filter(TOLD.fullmatch, [*environment]):
        del environment[name]


def forget_unreadable_ranks() -> None:
    """Remove ranks that are no numbers from the environment: importing Lightning would fail."""
    for name in READ_ON_IMPORT:
        if not os.environ.get(name, "0").isdecimal():
            del os.environ[name]
