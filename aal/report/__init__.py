"""Reports: self-contained HTML pages, and their figures as files."""

from aal.report.features import features_figure
from aal.report.run_page import write_run_report

__all__ = ["features_figure", "write_run_report"]
