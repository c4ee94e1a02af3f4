"""Reports: self-contained HTML pages of a run and of a study, and their figures as files."""

from aal.report.features import features_figure
from aal.report.run_page import write_run_report
from aal.report.study_page import write_study_report

__all__ = ["features_figure", "write_run_report", "write_study_report"]
