"""The parser of ``aal fit``: the keys of a run, what links them, and how a command line becomes a configuration."""

from typing import Any, Literal, cast

from jsonargparse import ArgumentError, Namespace, set_dumper, set_loader
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from yaml import YAMLError

from aal.callbacks import RoundCheckpoint
from aal.cli.class_names import use_class_names
from aal.cli.command_line import configs_in, with_files
from aal.cli.exits import reason
from aal.cli.keys import CALLBACKS, number_of_logits, shape_of_samples, whole_seed
from aal.cli.suggestions import refuse_no_parts, refuse_unknown_empty, with_suggestion
from aal.errors import UserError
from aal.models import Classifier
from aal.runs.documents import from_yaml, to_yaml

use_class_names()
set_loader("yaml", from_yaml, (YAMLError,))  # the parser reads and writes as the rest of aal does
set_dumper("yaml", to_yaml)


class ParsingCLI(LightningCLI):
    """LightningCLI with ``--out`` and a key for each callback."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Offer ``fit`` alone: a run evaluates itself after every round."""
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--out`` and the callbacks' keys; link what one key tells another."""
        parser.add_argument("--out", type=str | None, help="Folder of the run; it must be new or empty.")
        for key, callback in CALLBACKS.items():
            parser.add_lightning_class_args(callback, key, subclass_mode=True, required=False)
        parser.add_lightning_class_args(Classifier, "victim", subclass_mode=True, required=False)
        parser.add_argument(
            "--victim_answers", type=Literal["labels", "probabilities"], default="labels", help="What the victim says."
        )
        parser.add_lightning_class_args(RoundCheckpoint, "checkpoint")
        parser.link_arguments("out", "trainer.default_root_dir")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=whole_seed)
        sources = ("data", *CALLBACKS)
        for key in ("model", "victim"):
            parser.link_arguments("data", f"{key}.init_args.sample_shape", shape_of_samples, apply_on="instantiate")
            parser.link_arguments(
                sources, f"{key}.init_args.num_classes", compute_fn=number_of_logits, apply_on="instantiate"
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line, a list of words, and the configurations it names."""
        own = getattr(self, "_subcommand_parsers", {}).get("fit", parser)
        keys = [action.dest for action in own._actions]
        words = with_files(cast(list[str], args), {key.split(".")[0] for key in keys})
        try:
            self.config = parser.parse_args(words)
        except (ArgumentError, RecursionError) as error:
            raise UserError(with_suggestion(reason(error), keys)) from error
        config = self.config.get("fit", self.config)
        refuse_no_parts(config)
        for said in configs_in(words):
            refuse_unknown_empty(said, config)

    def _parse_ckpt_path(self) -> None:
        """Read nothing from a checkpoint here: its run's ``config.yaml`` has the configuration."""

    def _dumped(self, config: Namespace) -> dict[str, Any]:
        """Return what a run's ``config.yaml`` says: every key and its value."""
        dump = from_yaml(self._parser("fit").dump(config, skip_unset=False))
        return {name: value for name, value in dump.items() if name not in ("config", "ckpt_path")}

    def _completed(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return an earlier configuration as it is read today: keys that are new since have their defaults.

        One that cannot be read any more, since a key or a class has gone, is returned as it is.
        """
        try:
            return self._dumped(self._parser("fit").parse_object(before))
        except (ArgumentError, UserError):
            return before
