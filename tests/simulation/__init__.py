"""A deterministic simulator of everything around a replica's workers, with holdtrue's own code in it, unchanged."""
