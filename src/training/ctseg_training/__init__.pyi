from . import losses, proximal, recipes
from .data.decathlon import CaseEntry, Decathlon, open_dataset
from .job import Job
from .job_order import JobState
from .recipes import Recipe, list_recipes, load_recipe, recipe_text, save_recipe
from .run.engine import train
from .scoring import Scores, bundle_scores

__version__: str
__all__ = [
    "CaseEntry",
    "Decathlon",
    "Job",
    "JobState",
    "Recipe",
    "Scores",
    "bundle_scores",
    "list_recipes",
    "load_recipe",
    "losses",
    "open_dataset",
    "proximal",
    "recipe_text",
    "recipes",
    "save_recipe",
    "train",
]
