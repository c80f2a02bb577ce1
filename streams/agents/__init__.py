"""Faust agents of one replica: apply, check, repair. `app` composes them; the owner of a partition does the work."""
