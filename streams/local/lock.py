"""Renews the lock file from the top-level coordinates, for developers: `python -m streams.local.lock`."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from streams.local.artifacts import LOCK, Artifact, Lock, save_lock

KAFKA = "4.3.1"
DEBEZIUM = "3.6.3.Final"
DEBEZIUM_JDBC = "3.3.1.Final"
CONVERTER = "2.6.13.Final"
REGISTRY = "3.3.3"
DYNAMODB = "3.1.0"
# The version of Jetty that DynamoDB Local is built on: its launcher starts the server on the loopback interface only.
JETTY = "12.0.14"
# The provider that sends slf4j 1.7 (what Kafka and Connect are written against) to their log4j; none comes with them.
LOG4J = "2.25.4"

# With their runtime dependencies.
TREES = {
    "kafka": (
        f"org.apache.kafka:kafka_2.13:{KAFKA}",
        f"org.apache.kafka:connect-runtime:{KAFKA}",
        f"org.apache.kafka:connect-json:{KAFKA}",
        f"org.apache.kafka:connect-transforms:{KAFKA}",
        f"org.apache.kafka:kafka-tools:{KAFKA}",
        f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
    ),
    "converter": (f"io.apicurio:apicurio-registry-utils-converter:{CONVERTER}",),
    "dynamodb": (f"software.amazon.dynamodb:DynamoDBLocal:{DYNAMODB}", f"org.eclipse.jetty:jetty-xml:{JETTY}"),
}
# Archives that hold everything they need.
ARCHIVES = {
    "debezium": ("io.debezium", "debezium-connector-postgres", DEBEZIUM, "plugin"),
    "registry": ("io.apicurio", "apicurio-registry-app", REGISTRY, "all"),
    "bench": ("io.debezium", "debezium-connector-jdbc", DEBEZIUM_JDBC, "plugin"),
}
# The converter must run on Connect's own classes, not on the ones it was built with.
LEFT_OUT = {
    "converter": {"connect-api", "connect-json", "kafka-clients", "zstd-jni", "lz4-java", "snappy-java", "slf4j-api"},
    "dynamodb": {"sqlite4java-win32-x64", "sqlite4java-win32-x86", "libsqlite4java-linux-i386", "mockito-core"},
}
RUNTIME_SCOPES = ("compile", "runtime")


def main() -> int:
    """Resolve, download into a temporary folder, and write sizes and checksums into the lock file."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory(prefix="holdtrue-lock-") as folder:
        context = MavenContext(repo_cache=Path(folder), local_repos=[], timeout=60)
        lock = {name: _measured(_tree(context, name)) for name in TREES}
        lock |= {name: _measured([_archive(context, name)]) for name in ARCHIVES}
        save_lock(lock, LOCK)
    sys.stdout.write(_summary(lock))
    return 0


def _tree(context: Any, name: str) -> list[Any]:
    """The files of a group: its top-level coordinates and what these need at run time.

    Each coordinate is resolved by itself, as its authors released it: resolved together, the version management of
    one decides about the dependencies of another. Where two disagree, the coordinate listed first wins.
    """
    found: dict[tuple[str, str, str], Any] = {}
    for coordinate in TREES[name]:
        for artifact in _with_dependencies(context, coordinate):
            found.setdefault((artifact.groupId, artifact.artifactId, artifact.classifier), artifact)
    left_out = LEFT_OUT.get(name, set())
    return [artifact for artifact in found.values() if artifact.artifactId not in left_out]


def _with_dependencies(context: Any, coordinate: str) -> list[Any]:
    from jgo.maven import Model

    group, artifact, version = coordinate.split(":")
    component = context.project(group, artifact).at_version(version)
    dependencies, _ = Model(component.pom(), context).dependencies()
    wanted = [each for each in dependencies if each.scope in RUNTIME_SCOPES and not each.optional]
    return [component.artifact(), *(each.artifact for each in wanted)]


def _archive(context: Any, name: str) -> Any:
    group, artifact, version, classifier = ARCHIVES[name]
    return context.project(group, artifact).at_version(version).artifact(classifier=classifier, packaging="tar.gz")


def _measured(artifacts: list[Any]) -> tuple[Artifact, ...]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(pool.map(_entry, artifacts))


def _entry(artifact: Any) -> Artifact:
    content: bytes = artifact.resolve().read_bytes()
    return Artifact(
        group=artifact.groupId,
        name=artifact.artifactId,
        version=artifact.version,
        packaging=artifact.packaging,
        classifier=artifact.classifier or "",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _summary(lock: Lock) -> str:
    lines = (
        f"{name}: {len(artifacts)} files, {sum(each.size for each in artifacts) / 1e6:.1f} MB\n"
        for name, artifacts in sorted(lock.items())
    )
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
