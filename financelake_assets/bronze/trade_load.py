"""A load of numbered trades: each is published once, whatever is killed in between, in whatever order they come.

Input: chunks of new trades, and which trades are had (``trade_ids.py``), which the provider keeps up to date. Output:
messages with the trade's number as their sequence, and every few seconds a record in Kafka of which trades are had when
the topics end at some offsets. After a crash the messages behind those offsets tell which trades were published after
the record, as for any load (``positions.py``). So what was missed while nothing ran is known by its numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import structlog

from financelake_assets.bronze import positions
from financelake_assets.bronze.broker import BrokerUnavailableError
from financelake_assets.bronze.load import RECORD_EVERY_SECONDS
from financelake_assets.bronze.message import encode, headers
from financelake_assets.bronze.producer import BronzeProducer, Publishing
from financelake_assets.bronze.reading import header, read
from financelake_assets.bronze.topics import POSITIONS, topic_ids
from financelake_assets.bronze.universe import Universe
from financelake_assets.config import Settings
from financelake_assets.providers.base import Chunk
from financelake_assets.providers.exchanges.exchange import micros_of
from financelake_assets.providers.exchanges.trade_ids import Trade, TradeIds

_LINGER_MS = 2.0

log = structlog.get_logger()


class TradeLoad(Publishing):
    """Publishes one provider's trades."""

    def __init__(
        self, settings: Settings, name: str, provider: str, *, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Find out which trades are had.

        Args:
            settings: the lake; its topics must exist.
            name: tells this load from any other.
            provider: goes into the messages' headers.
            stopping: asked while waiting for the broker; true ends the wait with ``Stopped``.

        Raises:
            BrokerUnavailableError: the broker could not be asked.
        """
        super().__init__(BronzeProducer(settings, linger_ms=_LINGER_MS, stopping=stopping))
        self.name, self._provider, self._settings = name, provider, settings
        self._topics = topic_ids(settings)
        self._before = _find(settings, name, self._topics)
        self.ids: dict[str, TradeIds] = dict(self._before)
        self._universe = Universe(settings, provider)
        # the first chunk is empty: with it is recorded from when on trades are wanted, before any is published
        self._recorded_at, self._news, self._begun = 0.0, True, False
        self._asking: Future[positions.Ends] | None = None
        self._asker = ThreadPoolExecutor(1, "ends")

    def publish(self, chunk: Chunk) -> int:
        """Publish trades that are new; returns how many.

        Raises:
            DeliveryError: a message was not acknowledged.
            Stopped: the caller asked to stop.
        """
        if len(chunk):
            self._universe.add(chunk.instruments())
            common, send = headers(self._provider, self.name), self._producer.send
            numbers = [*chunk.rows["trade_id"].to_list(), *([None] * len(chunk.odd))]
            for (topic, key, value), number in zip(encode(chunk), numbers, strict=True):
                send(topic, key, value, [*common, ("sequence", number and number.encode())])
            self._news = True
        self._producer.poll()
        if not self._begun:
            self.record()
            self._producer.flush()
            self._begun = True
        elif self._news and time.monotonic() - self._recorded_at > RECORD_EVERY_SECONDS:
            self._record_soon()
        return len(chunk)

    def record(self) -> None:
        """Wait for the acknowledgements, then write down which trades are had; raises as ``publish`` does."""
        if self._news:
            self._write(self._asker.submit(positions.ends, self._settings))
        self._producer.flush()

    def _record_soon(self) -> None:
        """As ``record``, but trades go on while the broker is asked where the topics end.

        The answer may be older than the trades that the record says are had: those that were published in between are
        found once more behind these ends, and known.
        """
        if self._asking is None:
            self._asking = self._asker.submit(positions.ends, self._settings)
        elif self._asking.done():
            answer, self._asking = self._asking, None
            self._write(answer)

    def _write(self, asked: Future[positions.Ends]) -> None:
        self._recorded_at = time.monotonic()
        try:
            ends = asked.result()
        except BrokerUnavailableError:
            # gone again since the last acknowledgement: the record before this one still holds
            log.warning("which trades are had was not recorded", load=self.name)
            return
        self._producer.flush()
        had = {symbol: ids.as_dict() for symbol, ids in {**self._before, **self.ids}.items()}
        record = json.dumps({"trades": had, "ends": ends, "topics": dict(self._topics)})
        # the caller need not wait for it: if this record is lost, the one before it still holds
        self._producer.send(POSITIONS, self.name, record, [])
        self._news = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._asker.shutdown(wait=False)


def _find(settings: Settings, name: str, topics: dict[str, str]) -> dict[str, TradeIds]:
    """Which trades are had, by symbol; nothing where no record speaks of these topics."""
    text = positions.last_record(settings, name)
    record = {} if text is None else json.loads(text)
    if record.get("topics") != topics:
        return {}
    had = {symbol: TradeIds.from_dict(values) for symbol, values in record["trades"].items()}
    since = {topic: {int(part): end for part, end in parts.items()} for topic, parts in record["ends"].items()}
    for message in read(settings, positions.spans_behind(settings, since)):
        sequence, value = header(message, "sequence"), message.value()
        if header(message, "load") != name or not sequence or value is None:
            continue
        said = json.loads(value)
        symbol = said["symbol"]
        trade = Trade(symbol, int(sequence), micros_of(said["event_time"]), 0.0, 0.0)
        had.setdefault(symbol, TradeIds()).take((trade,))
    return had
