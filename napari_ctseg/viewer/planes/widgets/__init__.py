"""Widgets of the linked planes."""
