"""The public names of `trials`: the only list of them. Each is imported when it is first used."""

from .data.sources import SOURCES as SOURCES
from .data.store import ImageStore as ImageStore
from .data.store import open_store as open_store
from .errors import InputError as InputError
from .errors import StageError as StageError
from .models.encoders import build_encoder as build_encoder
from .models.encoders import count_parameters as count_parameters
from .models.simmim import SimMIM as SimMIM
from .models.vit import VIT_SIZES as VIT_SIZES
from .models.vit import ViT as ViT
from .prepare import prepare_split as prepare_split
from .recipes.lengths import Length as Length
from .recipes.lengths import parse_length as parse_length
from .recipes.named import RECIPES as RECIPES
from .recipes.named import get_recipe as get_recipe
from .spec import StageSpec as StageSpec
from .spec import stage_id as stage_id
from .stage import run_stage as run_stage
from .training.interrupts import Interrupted as Interrupted
