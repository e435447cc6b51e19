"""The laws that `fit` and `fit_surface` take by name. To add one, write its `Law` in a file of this
folder and list it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analysis.errors import AnalysisError, nearest_name
from analysis.laws.broken import BROKEN_POWERS, FALLING_BROKEN_POWER
from analysis.laws.implicit import M4
from analysis.laws.law import Law, Parameter
from analysis.laws.model_and_data import CHINCHILLA, SHARED_EXPONENT, SKALING
from analysis.laws.powers import LEVELLING_POWER, POWER, POWER_NO_FLOOR, SHIFTED_POWER
from analysis.laws.repeated_data import DATA_CONSTRAINED
from analysis.laws.saturating import EXPONENTIAL, GENERALISED_LOGISTIC, LAST_VALUE, LOGARITHMIC, MMF, WEIBULL
from analysis.laws.transfer import ADDITIVE, EFFECTIVE_DATA, MULTIPLICATIVE

LAWS: Final[dict[str, Law]] = {
    law.name: law
    for law in (
        POWER,
        POWER_NO_FLOOR,
        SHIFTED_POWER,
        LEVELLING_POWER,
        M4,
        *BROKEN_POWERS,
        FALLING_BROKEN_POWER,
        EXPONENTIAL,
        LOGARITHMIC,
        MMF,
        WEIBULL,
        GENERALISED_LOGISTIC,
        LAST_VALUE,
    )
}
"""Curves, y = f(x), by name."""

SURFACES: Final[dict[str, Law]] = {
    law.name: law for law in (CHINCHILLA, SHARED_EXPONENT, SKALING, DATA_CONSTRAINED, ADDITIVE, MULTIPLICATIVE, EFFECTIVE_DATA)
}
"""Surfaces, y = f(X) with X of several columns, by name."""

__all__ = ["LAWS", "SURFACES", "Law", "Parameter", "find_law"]

ALIASES: Final = {alias: law.name for law in (LAWS | SURFACES).values() for alias in law.aliases}
"""Names in the literature."""


def find_law(name: str, known: Mapping[str, Law] = LAWS) -> Law:
    """The law of that name, or of that name in the literature. Raises AnalysisError that lists what
    exists.
    """
    plain = str(name).strip().lower().replace("-", "_")
    plain = plain if plain in known else ALIASES.get(plain, plain)
    if plain in known:
        return known[plain]
    if plain == "auto":
        raise AnalysisError("there is no law 'auto': call choose_law(x, y), which compares laws by how they extrapolate, or name one.")
    hint = nearest_name(name, known)
    raise AnalysisError(f"there is no law '{name}' ({hint}): choose one of {', '.join(known)}.")
