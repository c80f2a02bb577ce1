"""The command line: one file per verb, composed in `main`."""
