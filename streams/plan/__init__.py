"""The Data Consistency Plan: what must be true, as declared in one YAML file. Pure: no drivers, no Faust."""
