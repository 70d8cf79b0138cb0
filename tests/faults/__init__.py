"""Real processes that are killed at any step or race each other, and what must hold afterwards."""
