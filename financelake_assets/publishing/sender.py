"""Rows and their place in one transaction of Kafka: both are there, or neither.

Input: pieces of a table. Output: one message for each row on the table's topic, and the place after it on a compacted
topic. Opening a sender ends the transaction of one that was killed, and reads from Kafka how far that one came; what a
reader of committed messages sees is exactly that.
"""

from __future__ import annotations

from confluent_kafka import KafkaException, Producer

from financelake_assets.bronze.broker import client_config, reach, unavailable
from financelake_assets.bronze.producer import Headers
from financelake_assets.bronze.reading import read
from financelake_assets.bronze.topics import COMPRESSION, PUBLISHED, watermarks
from financelake_assets.config import Settings
from financelake_assets.publishing.pieces import Piece
from financelake_assets.publishing.place import Place
from financelake_assets.query.rendering import as_json

TRANSACTIONAL_ID = "financelake-gold"
_SECONDS = 30.0


class Sender:
    """One transactional producer. After an error it is of no more use: close it and open another."""

    def __init__(self, settings: Settings) -> None:
        """Take over from every earlier sender of the lake.

        Raises:
            BrokerUnavailableError: the broker did not answer, or refused.
        """
        self._settings = settings
        reach(settings)
        self._producer = Producer(
            {
                **client_config(settings),
                "transactional.id": TRANSACTIONAL_ID,
                "transaction.timeout.ms": int(_SECONDS * 1000),
                "compression.type": COMPRESSION,
                "partitioner": "murmur2_random",  # as Java clients: a symbol's partition depends on nobody's client
                "linger.ms": 5,
            }
        )
        try:
            self._producer.init_transactions(_SECONDS)
        except KafkaException as error:
            raise unavailable(settings, error) from error
        self.places = self._read_places()

    def send(self, topic: str, piece: Piece) -> None:
        """Publish a piece with its place.

        Raises:
            BrokerUnavailableError: it is not known whether it was published; the next sender reads that from Kafka.
        """
        try:
            self._producer.begin_transaction()
            version = str(piece.first.version).encode()
            for number, (symbol, row) in enumerate(zip(piece.rows["symbol"], as_json(piece.rows), strict=True)):
                headers: Headers = [("version", version), ("row", str(piece.first.rows + number).encode())]
                self._produce(topic, symbol.encode(), row, headers)
            self._produce(PUBLISHED, topic.encode(), piece.after.encoded(), [])
            self._producer.commit_transaction(_SECONDS)
        except KafkaException as error:
            raise unavailable(self._settings, error) from error
        self.places[topic] = piece.after

    def _produce(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def close(self) -> None:
        """Give up what is on its way; the next sender ends its transaction."""
        self._producer.purge()

    def _read_places(self) -> dict[str, Place]:
        marks = watermarks(self._settings, (PUBLISHED,))[PUBLISHED]
        places = {}
        for message in read(self._settings, {(PUBLISHED, partition): span for partition, span in marks.items()}):
            key, value = message.key(), message.value()
            if isinstance(key, bytes) and isinstance(value, bytes):
                places[key.decode()] = Place.decoded(value)
        return places
