"""``aal selftest``: an experiment's data and model, its weights, the checks and their table."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LightningArgumentParser
from rich import box
from rich.table import Table
from rich.text import Text

from aal.attacks.norms import any_norm
from aal.callbacks import QueryRounds, RoundProgress, StopRule
from aal.callbacks.rounds import clock_of
from aal.checks import at_least, positive, refuse
from aal.cli.console import tables_console
from aal.cli.fit import AALCLI
from aal.cli.keys import CLI_ARGUMENTS, PARSER
from aal.cli.trainer import check_built, check_trainer
from aal.errors import RunStopped, UserError
from aal.runs.files import read_pickled, write_json
from aal.runs.progress import Progress
from aal.runs.ranks import forget_ranks
from aal.seeds import generator, sample_seeds
from aal.selftest.examinee import Examinee, Verdict
from aal.selftest.verdicts import run_checks
from aal.strategies import Random

FAILED = 1  # exit code where a check failed
COLOURS = {"passed": "green", "warned": "yellow", "failed": "red"}
# Of the experiment's trainer only where and how exactly it computes is kept.
NOT_KEPT = ("logger", "callbacks", "plugins", "profiler", "strategy", "devices", "num_nodes", "max_steps", "max_time")
# What to test: options with their type, default and help.
OPTIONS: tuple[tuple[str, Any, object, str], ...] = (
    ("samples", int, 200, "Samples of the test split, drawn at random."),
    ("radius", float | None, None, "The attacks' radius (default: 8/255 of the data's range)"),
    ("norm", str, "linf", "The attacks' norm: linf, l2 or l1."),
    ("epochs", int, 20, "Most epochs on the pool's true labels; 0: the model as it is built."),
    ("ckpt_path", str | None, None, "A run's checkpoint with the weights, instead of epochs."),
    ("json", str | None, None, "A file to write the verdicts to as well."),
)


class SelftestCLI(AALCLI):
    """An experiment's configuration, of which data and model are built, and a Trainer that trains once."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the experiment's keys, of which most are not used here, and what to test."""
        super().add_arguments_to_parser(parser)
        for name, kind, default, said in OPTIONS:
            parser.add_argument(f"--{name}", type=kind, default=default, help=said)

    def before_instantiate_classes(self) -> None:
        """Refuse values that make no sense; take from the trainer's keys what is not for one training in one place."""
        config = self.config
        at_least(1, {"samples": config["samples"]})
        at_least(0, {"epochs": config["epochs"]})
        any_norm({"norm": config["norm"]})
        if config["radius"] is not None:
            positive({"radius": config["radius"]})
        refuse(
            config["ckpt_path"] is not None and not Path(config["ckpt_path"]).is_file(),
            f"ckpt_path: {config['ckpt_path']}: no such file",
        )
        if config["json"] is not None:
            _check_writable(Path(config["json"]))
        check_trainer(config["trainer"])
        forget_ranks(os.environ)
        for key in NOT_KEPT:
            config["trainer"].pop(key)

    def train(self) -> str:
        """Give the model its weights; return where they are from.

        Raises:
            UserError: The checkpoint is damaged, or not one of such a model.
            RunStopped: The training was cut short, or its loss is not finite.
        """
        if self.config["ckpt_path"] is not None:
            self._load(Path(self.config["ckpt_path"]))
            return f"weights of {self.config['ckpt_path']}"
        if self.config["epochs"] == 0:
            return "weights as the configuration builds them, untrained"
        try:
            with self.origins.named():
                self.trainer.fit(self.model, datamodule=self.datamodule)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from None
        clock = clock_of(self.trainer)
        refuse(not clock.finished, "the training was cut short by a key of the trainer", RunStopped)
        return f"trained on the true labels of {len(self.datamodule.pool.labelled)} samples, epochs: {clock.epoch}"

    def _load(self, path: Path) -> None:
        checkpoint = read_pickled(path, "a checkpoint of a run")
        self.model.on_load_checkpoint(checkpoint)
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise UserError(f"ckpt_path: {path}: not of this model ({error})") from None

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
        self.datamodule.setup("fit")
        natural = len(self.datamodule.pool.of_origin("natural"))
        one_round = StopRule("round", at_least=0)  # nothing is queried, where others than natural samples could be
        clock = QueryRounds(Random(), initial=natural, stop=[one_round], max_epochs=max(self.config["epochs"], 1))
        own = {"logger": False, "enable_checkpointing": False, "devices": 1, "callbacks": [RoundProgress(), clock]}
        trainer = pl.Trainer(**{**config, **own})
        check_built(trainer)
        return trainer


def selftest_command(argv: list[str]) -> int:
    """Run ``aal selftest`` with its arguments.

    Args:
        argv: What follows ``aal selftest`` on the command line.

    Returns:
        The exit code: 0, or 1 where a check failed.

    Raises:
        UserError: The arguments or a configuration are wrong.
        RunStopped: The training was cut short, or its loss is not finite.
    """
    cli = SelftestCLI(**CLI_ARGUMENTS | {"parser_kwargs": {**PARSER, "prog": "aal selftest"}}, run=False, args=argv)
    weights = cli.train()
    config, data = cli.config, cli.datamodule
    samples, labels = data.samples["test"], data.labels["test"]
    drawn = torch.randperm(len(samples), generator=generator(data.seed, "selftest"))[: config["samples"]].sort().values
    device = cli.trainer.strategy.root_device
    examinee = Examinee(
        model=cli.model.to(device),
        x=samples[drawn].to(device),
        y=labels[drawn].to(device),
        bounds=samples.bounds,
        norm=config["norm"],
        chosen_radius=config["radius"],
        seeds=sample_seeds(data.seed, "selftest", drawn).to(device),
        batch_size=data.batch_size,
    )
    with cli.origins.named():
        verdicts = run_checks(examinee, Progress())
    about = (
        f"{type(cli.model).__name__}, {weights}, on {len(drawn)} test samples of {data.name}: "
        f"attacks in {examinee.norm} with a radius of {examinee.radius:.4g}"
    )
    print_verdicts(verdicts, about)
    if config["json"] is not None:
        write_json(Path(config["json"]), {"about": about, "verdicts": [asdict(verdict) for verdict in verdicts]})
    return FAILED if any(verdict.status == "failed" for verdict in verdicts) else 0


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"json: {path} cannot be written to ({error.strerror})") from None
    refuse(
        path.is_dir() or not os.access(path.parent, os.W_OK),
        f"json: {path} is a folder, or in one that cannot be written to",
    )


def print_verdicts(verdicts: list[Verdict], title: str) -> None:
    """Print a table of verdicts, and how many there were of each kind."""
    console = tables_console()
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("check", "status", "what it means"):
        table.add_column(name, no_wrap=name != "what it means")
    for verdict in verdicts:
        table.add_row(verdict.check, Text(verdict.status, COLOURS[verdict.status]), Text(verdict.meaning))
    console.print(table)
    counts = (f"{sum(verdict.status == status for verdict in verdicts)} {status}" for status in COLOURS)
    console.print(f"{', '.join(counts)}.")
