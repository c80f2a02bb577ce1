"""The batch consumer and the version table inside Faust: Faust owns group, assignment, recovery and lifecycle."""
