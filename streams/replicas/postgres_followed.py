"""A Postgres replica's log as it is followed: with the mirror that is filled beside it."""

from __future__ import annotations

from typing import Final

from streams.replicas.log import Read
from streams.replicas.postgres_mirror import PostgresMirror
from streams.replicas.postgres_stream import LogStream

READ_SECONDS: Final = 0.5
# While the mirror is filled, so that filling takes no more than about half of the follower's time.
FILL_SECONDS: Final = 0.1


class MirroredLog:
    """The stream and what is kept from it (the contract is `replicas.log.FollowedLog`); opened once."""

    def __init__(self, stream: LogStream, mirror: PostgresMirror) -> None:
        self._stream = stream
        self._mirror = mirror
        self._has_read = False
        self.open = stream.open
        self.confirm = stream.confirm

    @property
    def behind(self) -> float:
        """Bytes of log that the server keeps."""
        return self._stream.behind_bytes

    def read(self) -> Read:
        """What has come, and what was compared; before that, some more of the tables is read."""
        if self._has_read and not self._mirror.is_filled:
            self._mirror.fill()
        self._has_read = True
        read = self._stream.read(READ_SECONDS if self._mirror.is_filled else FILL_SECONDS)
        return read._replace(compared=self._mirror.taken())

    def close(self) -> None:
        """Both."""
        self._stream.close()
        self._mirror.close()
