"""Everything on one machine with no account: simulated cars and drivers, the real portal."""
