"""The schema registry: Apicurio, with its data in a file of its own."""

from __future__ import annotations

from streams.local.http import expect_ok
from streams.local.jvm import SERIAL_GC, java
from streams.local.process import Command
from streams.local.service import Service

_HEAP_MB = 384
# It answers a few requests per table: the quick compiler alone takes 40 % off the 6 CPU seconds that a start costs.
_QUICK_START = ("-XX:TieredStopAtLevel=1", SERIAL_GC)


class Registry(Service):
    """Apicurio Registry on an H2 file: no other server must run for it, and none takes it down."""

    name = "registry"
    ports = ("registry", "registry-management")
    groups = ("registry",)

    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{self.site.address(self.name)}"

    def confluent(self) -> str:
        """The URL of its interface that is compatible with Confluent's registry."""
        return f"{self.endpoint()}/apis/ccompat/v7"

    def apicurio(self) -> str:
        """The URL of the interface that the Avro converter talks to."""
        return f"{self.endpoint()}/apis/registry/v2"

    def command(self) -> Command:
        """The application, with both of its listeners on the loopback interface."""
        home = self.site.home(self.name)
        settings = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": self.site.ports["registry"],
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": self.site.ports["registry-management"],
            "quarkus.http.access-log.enabled": "false",
            # Schema ids are in every record: what was answered must be on the disk, also if the process is killed.
            "apicurio.datasource.url": f"jdbc:h2:file:{home}/registry;WRITE_DELAY=0;DB_CLOSE_ON_EXIT=FALSE",
            "apicurio.datasource.jdbc.initial-size": 2,
            "apicurio.datasource.jdbc.min-size": 2,
            "apicurio.datasource.jdbc.max-size": 20,
            "apicurio.storage.snapshot.location": home,
            "apicurio.import.work-dir": home,
        }
        options = [f"-D{key}={value}" for key, value in settings.items()]
        jar = self.site.archive("registry") / "quarkus-run.jar"
        return Command(java(_HEAP_MB, "-jar", str(jar), options=(*_QUICK_START, *options)))

    def check(self) -> None:
        """List the subjects."""
        expect_ok(f"{self.confluent()}/subjects")
