"""A RIS for tests: the MLLP server of python-hl7, another implementation than the one that builds our messages."""

import asyncio
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hl7
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

from config.hl7 import Hl7Destination
from tests.ports import free_port


@dataclass
class Receiver:
    """Keeps the messages that it gets and answers each with the next of its codes, then with AA."""

    port: int = field(default_factory=free_port)
    codes: list[str] = field(default_factory=list)
    connections: int = 0
    messages: list[hl7.Message] = field(default_factory=list)

    def destination(self, **settings: object) -> Hl7Destination:
        """The settings of a destination that is this receiver."""
        return Hl7Destination(name="ris", host="127.0.0.1", port=self.port, **settings)  # type: ignore[arg-type]

    def control_ids(self) -> list[str]:
        return [str(message.segment("MSH")[10]) for message in self.messages]

    @contextmanager
    def listening(self, tls: ssl.SSLContext | None = None) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        connections: list[HL7StreamWriter] = []

        async def serve(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
            self.connections += 1
            connections.append(writer)
            while not reader.at_eof():
                try:
                    message = await reader.readmessage()
                except asyncio.IncompleteReadError:
                    break
                self.messages.append(message)
                with warnings.catch_warnings(action="ignore"):  # utcnow() is deprecated from Python 3.12 on
                    answer = message.create_ack(self.codes.pop(0) if self.codes else "AA")
                writer.writemessage(answer)
                await writer.drain()
            writer.close()

        async def open_port() -> Callable[[], None]:
            server = await start_hl7_server(serve, "127.0.0.1", self.port, encoding="utf-8", ssl=tls)
            return server.close

        close = loop.run_until_complete(open_port())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def end() -> None:
            close()
            for writer in connections:
                writer.close()
            mine = asyncio.current_task()
            for task in asyncio.all_tasks() - {mine}:
                task.cancel()
            await asyncio.gather(*(asyncio.all_tasks() - {mine}), return_exceptions=True)

        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(end(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def field_of(message: hl7.Message, segment: str, place: int, which: int = 0) -> str:
    """A field of the `which`-th segment of this name, as it is written; empty where there is none."""
    found = message.segments(segment)[which]
    return str(found[place]) if len(found) > place else ""
