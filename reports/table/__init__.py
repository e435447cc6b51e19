"""The report of anyone's table: a score over a size, by groups, under the table's own names."""

from reports.table.build import build_table_report, compose_table
from reports.table.question import TableQuestion, read_question

__all__ = ["TableQuestion", "build_table_report", "compose_table", "read_question"]
