"""The embedded stack: every server holdtrue needs, without Docker, root, Maven or a system Java."""
