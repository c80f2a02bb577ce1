"""Side by side with the named peers: the same input, the same store, alternating runs, checked results."""
