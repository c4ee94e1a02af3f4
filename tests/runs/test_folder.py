"""Runs and studies that an earlier version made are refused in one line."""

from pathlib import Path

import pytest

from aal.errors import UserError
from aal.runs.config_names import config_path
from aal.runs.folder import RunFolder
from aal.runs.reading import read_run
from aal.studies.study import claim_folder, read_study, save_study
from aal.studies.tables import TABLES

EARLIER = "query:\n  class_path: callbacks.QueryRounds\n  init_args:\n    initial: 20\n"
REFUSED = "an earlier version of aal made this run"


def test_an_earlier_run_does_not_go_on_and_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(EARLIER)
    folder = RunFolder(tmp_path, resumes=True)
    with pytest.raises(UserError, match=REFUSED):
        folder.compare({}, may_change=())
    folder.release()
    with pytest.raises(UserError, match=REFUSED):
        read_run(tmp_path)


def test_a_study_with_cells_of_an_earlier_version_does_not_go_on(tmp_path: Path) -> None:
    study = read_study(config_path("aal:study/collision_demo"), TABLES)
    save_study(study, tmp_path)
    claim_folder(study, tmp_path)
    cell = tmp_path / "nn1_zero" / "seed=0"
    cell.mkdir(parents=True)
    (cell / "config.yaml").write_text(EARLIER)
    with pytest.raises(UserError, match=REFUSED):
        claim_folder(study, tmp_path)


def test_a_class_of_the_users_own_folder_is_none_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("query:\n  class_path: callbacks.mine.QueryRounds\n")
    assert read_run(tmp_path).config
