"""The public names of `scaling`: the only list of them. Each is imported when it is first used."""

from .grid.settings import Grid as Grid
from .grid.settings import load_grid as load_grid
from .plan.plan import Plan as Plan
from .plan.plan import make_plan as make_plan
from .study.folder import Study as Study
from .study.table import write_tables as write_tables
