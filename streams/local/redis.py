"""Redis: the cache replica, saved when it is stopped."""

from __future__ import annotations

import json
from pathlib import Path

from streams.local import packages
from streams.local.process import Command
from streams.local.service import REQUEST_SECONDS, Service, UnhealthyError


class Redis(Service):
    """A Redis without append-only file: it saves on SIGTERM (it has a save point) and loses recent writes if killed."""

    name = "redis"
    ports = ("redis",)

    def endpoint(self) -> str:
        """Its URL, database 0."""
        return f"redis://{self.site.address(self.name)}/0"

    @property
    def _config(self) -> Path:
        return self.site.home(self.name) / "redis.conf"

    def prepare(self) -> None:
        """Write the configuration: on the command line, a save point's two words would be taken for none."""
        settings = {
            "bind": "127.0.0.1",
            "port": self.site.ports[self.name],
            "dir": json.dumps(str(self.site.home(self.name))),
            "save": "3600 1",
            "appendonly": "no",
            "daemonize": "no",
        }
        self._config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))

    def command(self) -> Command:
        """`redis-server` in the foreground of its own session."""
        return Command((str(packages.redis_server()), str(self._config)))

    def check(self) -> None:
        """PING; while it still loads its file it answers with an error."""
        from redis import Redis as Client

        with Client.from_url(self.endpoint(), socket_timeout=REQUEST_SECONDS) as client:
            if client.ping() is not True:
                raise UnhealthyError("PING was not answered")
