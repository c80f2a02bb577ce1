"""What a row is, on every store: canonical values, their digest."""
