"""Where the servers of a stack are, as other code and scripts use them."""

from __future__ import annotations

from dataclasses import dataclass

from streams.local.dynamodb import ACCESS_KEY, REGION, SECRET_KEY
from streams.local.packages import postgres_bin


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of all servers. `…_dsn` are `postgresql://` URLs with the password in them; `kafka` is `host:port`."""

    sot_dsn: str
    replica_dsn: str
    control_dsn: str
    redis_url: str
    kafka: str
    connect_url: str
    registry_url: str
    apicurio_url: str
    dynamodb_url: str

    def environment(self) -> dict[str, str]:
        """The environment variables by which plans and workers find the servers, and people a client for Postgres."""
        return {
            "HOLDTRUE_SOT_DSN": self.sot_dsn,
            "HOLDTRUE_REPLICA_DSN": self.replica_dsn,
            "HOLDTRUE_CONTROL_DSN": self.control_dsn,
            "HOLDTRUE_REDIS_URL": self.redis_url,
            "HOLDTRUE_KAFKA": self.kafka,
            "HOLDTRUE_CONNECT": self.connect_url,
            "HOLDTRUE_REGISTRY": self.registry_url,
            "HOLDTRUE_APICURIO": self.apicurio_url,
            "HOLDTRUE_DYNAMODB": self.dynamodb_url,
            "HOLDTRUE_PSQL": str(postgres_bin() / "psql"),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }
