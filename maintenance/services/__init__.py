"""One use case a file. Functions take `now` and ready clients; they never read the clock."""
