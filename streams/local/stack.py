"""The embedded stack as a whole: `Stack(data_dir)` starts, describes and stops all of its servers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from streams.local import packages, site
from streams.local.artifacts import STACK_GROUPS, load_lock
from streams.local.connect import EXTRA_PLUGINS, Connect
from streams.local.disk import LEAST_BYTES, require_space
from streams.local.dynamodb import DynamoDb
from streams.local.endpoints import Endpoints
from streams.local.errors import NoStackError, StackError, StackUsageError, file_errors
from streams.local.exclusive import exclusive
from streams.local.fetch import Cache
from streams.local.kafka import Kafka
from streams.local.launch import Launch, stop_all
from streams.local.ports import Ports
from streams.local.postgres import Replica, Sot
from streams.local.progress import Reporter, Silent
from streams.local.redis import Redis
from streams.local.registry import Registry
from streams.local.service import Service
from streams.local.supervise import ServiceStatus, State, Supervisor
from streams.settings import absolute, settings

SERVICES: tuple[type[Service], ...] = (Sot, Replica, Redis, Kafka, Registry, DynamoDb, Connect)
NAMES = tuple(service.name for service in SERVICES)
_PORT_NAMES = tuple(port for service in SERVICES for port in service.ports)
# Two fresh database clusters, Kafka's files and a modest load.
_DATA_BYTES = 1_000_000_000
# Marks a folder as ours, so that `down --wipe` never deletes one that is not.
_MARK = "holdtrue-stack"


class Stack:
    """The servers of one data folder. Nothing starts until `up`; they live on when this process ends."""

    def __init__(self, data_dir: Path | None = None, cache_dir: Path | None = None) -> None:
        self.data = absolute(data_dir or settings().stack_data_dir)
        self._lock = load_lock()
        self._cache = Cache(cache_dir or settings().cache_dir)
        self._ports = Ports(self.data / "ports.json", _PORT_NAMES)

    @property
    def exists(self) -> bool:
        """Whether this data folder holds a stack, running or not."""
        return (self.data / _MARK).exists() and bool(self._ports.known())

    @property
    def pgbin(self) -> Path:
        """The folder with `psql`, `pgbench`, `pg_ctl` and the other Postgres programs."""
        return packages.postgres_bin()

    def up(self, progress: Reporter | None = None, port_base: int | None = None, plugins: Sequence[str] = ()) -> bool:
        """Have every server serve; returns whether something had to be started.

        `port_base` fixes the ports, from that number upwards; `plugins` are extra Connect plugins (`bench`).
        Raises StackError or one of its kinds; then nothing that this call started is left running.
        """
        reporter = progress or Silent()
        self._check(port_base, plugins)
        with exclusive(self.data), file_errors():
            self._make_folders()
            wanted = self._not_serving()
            if not wanted and not plugins and port_base is None:
                return False
            require_space(self.data, LEAST_BYTES, "starting servers")
            self._choose_ports(port_base)
            self._fetch(reporter, (*STACK_GROUPS, *plugins))
            self._plug(plugins)
            return self._launch([each.service.name for each in self._not_serving()], reporter)

    def _check(self, port_base: int | None, plugins: Sequence[str]) -> None:
        """Refuse what can be refused before anything is made."""
        if port_base is not None:
            self._ports.check(port_base)
        if unknown := [plugin for plugin in plugins if plugin not in EXTRA_PLUGINS]:
            known = ", ".join(EXTRA_PLUGINS)
            raise StackUsageError(f"There is no plugin {unknown[0]}.", f"The extra plugins are: {known}")

    def _make_folders(self) -> None:
        if self.data.exists() and not (self.data / _MARK).exists() and any(self.data.iterdir()):
            raise StackError(f"{self.data} is not empty and holds no stack.", "Choose another --data-dir.")
        if not (self.data / _MARK).exists():
            require_space(self.data, _DATA_BYTES, "the data of the stack")
        self.data.mkdir(parents=True, exist_ok=True)
        # Logs may quote statements with row values: for the owner only.
        for folder in (self.data / "logs", self.data / "run"):
            folder.mkdir(mode=0o700, exist_ok=True)
        (self.data / _MARK).touch()

    def _not_serving(self) -> list[Supervisor]:
        """All services before the first `up`, and when it is known where they are, those that do not serve."""
        if not self._ports.known():
            return self._bare()
        return [each for each in self._supervisors() if each.state() is not State.running]

    def _choose_ports(self, base: int | None) -> None:
        known = self._ports.known()
        moved = base is not None and bool(known) and known[_PORT_NAMES[0]] != base
        if (moved or not known) and any(each.process() for each in self._bare()):
            which = "other ports" if known else "ports that are not known any more"
            raise StackError(f"The stack runs on {which}.", "Stop it first: holdtrue down")
        self._ports.assign(base)

    def _fetch(self, reporter: Reporter, groups: Sequence[str]) -> None:
        for find in (packages.java, packages.redis_server, packages.postgres_bin):
            find()
        self._cache.ensure([artifact for group in groups for artifact in self._lock[group]], reporter)

    def _plug(self, plugins: Sequence[str]) -> None:
        """Link extra plugins; Connect, if it runs without them, is stopped to be started again."""
        connect = self._supervisor("connect")
        assert isinstance(connect.service, Connect)
        new = [plugin for plugin in plugins if not connect.service.has_plugin(plugin)]
        for plugin in new:
            connect.service.add_plugin(plugin)
        if new:
            connect.stop()

    def _launch(self, names: Sequence[str], reporter: Reporter) -> bool:
        Launch([self._supervisor(name) for name in names], reporter).run()
        return bool(names)

    def down(self, wipe: bool = False) -> bool:
        """Stop every server; returns whether one ran. `wipe` also deletes the data folder.

        Raises StackError if a server cannot be ended, or the folder is not a stack's.
        """
        with exclusive(self.data), file_errors():
            ran = self._stop() if (self.data / _MARK).exists() else False
            if wipe and self.data.exists():
                self._wipe()
            return ran

    def _stop(self) -> bool:
        """By their pids alone: also where the files of ports or password are damaged or gone."""
        supervisors = self._bare()
        ran = any(each.process() for each in supervisors)
        stop_all(supervisors)
        return ran

    def _wipe(self) -> None:
        if not (self.data / _MARK).exists():
            raise StackError(f"{self.data} holds no stack; it was not deleted.", "Is --data-dir right?")
        shutil.rmtree(self.data)

    def services(self) -> list[ServiceStatus]:
        """Every service with its state; makes a real request to each that runs. Empty if there is no stack."""
        return [each.status() for each in self._supervisors()] if self.exists else []

    def endpoints(self) -> Endpoints:
        """Where the servers are, whether they run or not. Raises NoStackError before the first `up`."""
        services = {service.name: service for service in self._services(self._known_ports())}
        sot, replica, registry = services["sot"], services["replica"], services["registry"]
        assert isinstance(sot, Sot)
        assert isinstance(replica, Replica)
        assert isinstance(registry, Registry)
        return Endpoints(
            sot_dsn=sot.dsn("sot"),
            replica_dsn=replica.dsn("replica"),
            control_dsn=replica.dsn("control"),
            redis_url=services["redis"].endpoint(),
            kafka=services["kafka"].endpoint(),
            connect_url=services["connect"].endpoint(),
            registry_url=registry.confluent(),
            apicurio_url=registry.apicurio(),
            dynamodb_url=services["dynamodb"].endpoint(),
        )

    def start_service(self, name: str) -> None:
        """Start one service and wait until it serves. Raises StackError."""
        with exclusive(self.data):
            self._launch([name], Silent())

    def stop_service(self, name: str) -> None:
        """Stop one service in its own way, keeping its data. Raises StackError."""
        with exclusive(self.data):
            self._supervisor(name).stop()

    def kill(self, name: str) -> None:
        """Kill one service as a crash would (SIGKILL); `services` then shows it dead."""
        self._supervisor(name).kill()

    def pid(self, name: str) -> int | None:
        """The process of a service, None if it does not run."""
        running = self._supervisor(name).process()
        return running.pid if running else None

    def _supervisor(self, name: str) -> Supervisor:
        for each in self._supervisors():
            if each.service.name == name:
                return each
        raise StackError(f"There is no service {name}.", f"The services are: {', '.join(NAMES)}")

    def _supervisors(self) -> list[Supervisor]:
        return [Supervisor(service) for service in self._services(self._known_ports())]

    def _bare(self) -> list[Supervisor]:
        """Of all services, without what only one that is started needs: ports and password."""
        place = site.Site(self.data, dict.fromkeys(_PORT_NAMES, 0), "", self._cache, self._lock)
        return [Supervisor(service(place)) for service in SERVICES]

    def _known_ports(self) -> dict[str, int]:
        known = self._ports.known() if (self.data / _MARK).exists() else {}
        if not known:
            raise NoStackError(f"There is no embedded stack in {self.data}.", "Start one: holdtrue up")
        return known

    def _services(self, ports: dict[str, int]) -> list[Service]:
        place = site.Site(self.data, ports, self._password, self._cache, self._lock)
        return [service(place) for service in SERVICES]

    @cached_property
    def _password(self) -> str:
        return site.password(self.data)
