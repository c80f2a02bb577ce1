"""What a replica does hold: one file per store, one contract (`base`), one test suite."""
