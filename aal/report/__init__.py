"""Reports: self-contained HTML pages, and their figures as files."""

from aal.report.features import features_figure
from aal.report.run_page import register_page, write_run_report

__all__ = ["features_figure", "register_page", "write_run_report"]
