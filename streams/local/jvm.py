"""How the Java servers are started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.local import packages

# For servers that share few cores: the JVM's own choice, G1, works beside them in threads of its own. It took a quarter
# off the demo's snapshot (33 s to 26 s on two cores).
SERIAL_GC = "-XX:+UseSerialGC"

_LOGGING = Path(__file__).with_name("log4j2.properties")


def java(heap_mb: int, *arguments: str, options: Sequence[str] = ()) -> tuple[str, ...]:
    """A Java command with a bounded heap, that ends rather than limps on when memory runs out."""
    bounds = (f"-Xms{min(heap_mb, 128)}m", f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError")
    return (str(packages.java()), *bounds, *options, *arguments)


def class_path(jars: Path) -> tuple[str, str]:
    """The options that put every jar of a folder on the class path."""
    return ("-cp", f"{jars}/*")


def logging_options() -> tuple[str, ...]:
    """The options that make log4j write to the service's log."""
    return (f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",)


def write_properties(file: Path, values: Mapping[str, object]) -> None:
    """Write a Java properties file."""
    escaped = {key: str(value).replace("\\", "\\\\") for key, value in values.items()}
    file.write_text("".join(f"{key}={value}\n" for key, value in escaped.items()))
