"""A relay in front of a PostgreSQL, which can lose it, or leave it hanging."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from threading import Thread

import psycopg
from sqlalchemy import make_url


class Relay:
    """Passes bytes between clients and a server, in a thread, as long as it is asked to."""

    def __init__(self, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql")
        with psycopg.connect(plain.render_as_string(False)) as connection:
            info = connection.info
            self._server, user, database = (info.host, info.port), info.user, info.dbname
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        via = plain.set(username=user, host="127.0.0.1", port=port, database=database)
        self.url = via.update_query_dict({"sslmode": "disable"}).render_as_string(False)
        self._selector, self._pairs = DefaultSelector(), dict[socket.socket, socket.socket]()
        self.is_gone = self.is_hanging = self._is_closed = False
        self._selector.register(self._listener, EVENT_READ)
        self._thread = Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._is_closed:
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                elif not self.is_hanging and isinstance(key.fileobj, socket.socket):
                    self._pass(key.fileobj)
            if self.is_gone:
                self._drop_all()
        self._drop_all()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self.is_gone:
            client.close()
            return
        host, port = self._server
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
        else:
            server = socket.create_connection((host, port))
        for one, other in ((client, server), (server, client)):
            self._pairs[one] = other
            self._selector.register(one, EVENT_READ)

    def _pass(self, one: socket.socket) -> None:
        if one not in self._pairs:
            return
        try:
            data = one.recv(1 << 16)
            self._pairs[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        for end in (one, self._pairs.pop(one)):
            self._pairs.pop(end, None)
            with suppress(KeyError):
                self._selector.unregister(end)
            end.close()

    def _drop_all(self) -> None:
        while self._pairs:
            self._drop(next(iter(self._pairs)))


@contextmanager
def relayed(url: str) -> Iterator[Relay]:
    relay = Relay(url)
    try:
        yield relay
    finally:
        relay.close()
