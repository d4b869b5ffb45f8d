"""Recipes: validated YAML files that define which network is trained on what, how, and for how long."""

from ctseg_training.recipes.loading import list_recipes, load_recipe, recipe_text, save_recipe
from ctseg_training.recipes.schema import Recipe

__all__ = ["Recipe", "list_recipes", "load_recipe", "recipe_text", "save_recipe"]
