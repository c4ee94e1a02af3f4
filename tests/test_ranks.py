"""Two processes query what one queries."""

from pathlib import Path

import pytest

from tests.commands import ROOT, fit, results

CPU = ("--trainer.accelerator=cpu", "--poison.init_args.batch_size=8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [(), (f"--config={ROOT}/configs/model/nn2.yaml", "--model.init_args.unfreeze_at=3")],
    ids=["frozen", "dropout and unfreezing"],
)
def test_two_ranks_give_the_run_of_one(options: tuple[str, ...], tmp_path: Path) -> None:
    one = fit(tmp_path / "one", *CPU, *options)
    assert one.returncode == 0, one.stderr
    two = fit(tmp_path / "two", *CPU, *options, "--trainer.devices=2", "--trainer.strategy=ddp")
    assert two.returncode == 0, two.stderr
    alone, shared = results(tmp_path / "one"), results(tmp_path / "two")
    assert alone["ledger"] == shared["ledger"]
    assert alone["rounds"] == shared["rounds"]
    assert alone["poisons"] == shared["poisons"]
    assert alone["pictures"] == shared["pictures"]
