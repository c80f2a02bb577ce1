"""The command line: one file per verb, composed in `program`, entered at `main`."""
