"""What needs Qt among the keys."""
