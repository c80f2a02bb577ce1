"""Where a replica and what it must hold differ: the record of it, its lifecycle."""
