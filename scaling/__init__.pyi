"""The public names of `scaling`: the only list of them. Each is imported when it is first used."""

from .grid.reader import load_grid as load_grid
from .grid.settings import Grid as Grid
from .plan.plan import Plan as Plan
from .plan.planner import make_plan as make_plan
from .study.folder import Study as Study
from .study.table import write_tables as write_tables
