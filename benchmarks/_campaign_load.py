"""The load of the campaign of faults: messages as people send them, and a ledger of those that Kafka acknowledged.

The ledger is kept here, in the sender, and knows nothing of what the lake makes of a message.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import KafkaException, Message, Producer

SYMBOLS = {
    **{f"C{n}-USD": "crypto" for n in range(6)},
    **{f"STK{n}": "stock" for n in range(4)},
    **{f"CMD{n}": "commodity" for n in range(2)},
}
FIRST_DAY = datetime(2000, 1, 3, tzinfo=UTC)
FIRST_TRADE = datetime(2024, 3, 1, tzinfo=UTC)
HISTORY = 300
"""Daily bars of each symbol before the faults begin: what the model learns from."""
_LAST_DAY = 9_400
NUMBER = "n"
"""Header that holds a message's number."""

SMALL_POISON: list[bytes | None] = [
    None,
    b"",
    b"\xff\xfe\x00",
    b"{",
    b"[]",
    b'{"symbol": "C0-USD", "interval": "999w", "event_time": "2020-01-01", "close": 1}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2999-01-01", "close": 1}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2020-01-01", "close": NaN}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2020-01-01", "close": "12.5d"}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2020-01-01", "close": "0x1.9p6"}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2020-01-01", "close": 1} ]',
    b'{"symbol": "NOSUCH", "interval": "1d", "event_time": "2020-01-01", "close": 1}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2020-01-01", "close": 1, "volume": -1}',
    b'{"symbol": "C0-USD", "interval": "1d", "event_time": "2020-01-01", "mood": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
]


@dataclass(frozen=True)
class Sent:
    """A message as it was meant: ``kind`` is ``bar``, ``trade`` or ``poison``; ``fields`` are those of the JSON."""

    number: int
    topic: str
    kind: str
    key: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    value: bytes | None = None


class Load:
    """Sends without end, in a thread, until it is told to pause or to stop."""

    def __init__(self, config: Mapping[str, Any], seed: int, rate: float) -> None:
        self.config, self.rate = dict(config), rate
        self.sent: dict[int, Sent] = {}
        self.acknowledged: dict[int, tuple[str, int, int]] = {}
        self._random = random.Random(seed)  # noqa: S311  # a load, not a secret
        self._days = dict.fromkeys(SYMBOLS, 0)
        self._trades = 0
        self._bars: list[Sent] = []
        self._lock = threading.Lock()
        self._running, self._over = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._producer = self._connect()
        self._thread = threading.Thread(target=self._send_on, daemon=True)

    # -- from the campaign -----------------------------------------------------------------------------

    def history(self) -> None:
        """Send what the model learns from."""
        for _ in range(HISTORY):
            for symbol in SYMBOLS:
                self._send(self._bar(symbol))
        self.flush()

    def begin(self) -> None:
        """Start the thread, paused."""
        self._thread.start()

    def go_on(self) -> None:
        """Send until ``pause``."""
        self._running.set()

    def pause(self) -> None:
        """Stop sending, and wait until all that was sent is acknowledged or given up."""
        self._running.clear()
        self._idle.wait(60)
        self.flush()

    def stop(self) -> None:
        """End."""
        self._over.set()
        self._running.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def poison(
        self, values: list[bytes | None], topic: str = "bronze.crypto", stamp: int | None = None, **config: Any
    ) -> None:
        """Send what silver must refuse; stamped with a time in milliseconds, and with options of the producer."""
        producer = Producer({**self.config, **config}) if config else self._producer
        for value in values:
            self._produce(producer, self._known("poison", topic, "C0-USD", value=value), stamp)
        producer.flush(60)

    def transaction(self, commits: bool) -> None:
        """Send bars in a transaction, which is committed or aborted; an aborted one never was."""
        producer = Producer({**self.config, "transactional.id": f"campaign-{self._random.random()}"})
        producer.init_transactions(60)
        producer.begin_transaction()
        bars = [self._bar("C0-USD") for _ in range(3)]
        for bar in bars:
            self._produce(producer, bar)
        producer.flush(60)
        if commits:
            producer.commit_transaction(60)
            return
        producer.abort_transaction(60)
        with self._lock:
            for bar in bars:
                self.acknowledged.pop(bar.number, None)
                self._bars.remove(bar)
        self._days["C0-USD"] -= len(bars)

    def flush(self) -> None:
        """Wait until nothing is on its way."""
        deadline = time.monotonic() + 120
        while self._producer.flush(5) and time.monotonic() < deadline:
            pass

    def days_of(self, symbol: str) -> int:
        """How many daily bars a symbol has had."""
        return self._days[symbol]

    # -- what is sent ----------------------------------------------------------------------------------

    def _send_on(self) -> None:
        while not self._over.is_set():
            self._running.wait()
            self._idle.clear()
            while self._running.is_set() and not self._over.is_set():
                self._send(self._any())
                self._producer.poll(0)
                time.sleep(1 / self.rate)
            self._idle.set()

    def _any(self) -> Sent:
        kind = self._random.random()
        if kind < 0.4:
            return self._bar(self._random.choice(list(SYMBOLS)))
        if kind < 0.55 and self._bars:
            return self._again(self._random.choice(self._bars[-60:]), corrected=False)
        if kind < 0.65 and self._bars:
            return self._again(self._random.choice(self._bars[-60:]), corrected=True)
        if kind < 0.95:
            return self._trade(named=kind < 0.8)
        return self._known("poison", "bronze.crypto", "C0-USD", value=self._random.choice(SMALL_POISON))

    def _bar(self, symbol: str) -> Sent:
        day = self._days[symbol]
        self._days[symbol] = (day + 1) % _LAST_DAY
        close = round(100 * (1 + 0.3 * self._random.random()), 2)
        fields = {
            "interval": "1d",
            "event_time": (FIRST_DAY + timedelta(days=day)).isoformat(),
            **dict(zip(("open", "high", "low", "close"), (close - 1, close + 2, close - 2, close), strict=True)),
            "volume": self._random.randint(1, 1_000),
        }
        bar = self._known("bar", f"bronze.{SYMBOLS[symbol]}", symbol, fields)
        self._bars.append(bar)
        return bar

    def _again(self, bar: Sent, corrected: bool) -> Sent:
        close = float(bar.fields["close"]) + (self._random.choice([-1, 1]) if corrected else 0)
        return self._known("bar", bar.topic, bar.key, {**bar.fields, "close": close})

    def _trade(self, named: bool) -> Sent:
        self._trades += 1
        at = FIRST_TRADE + timedelta(seconds=self._trades // 4, milliseconds=self._random.choice([0, 500]))
        identity = {"trade_id": f"T{self._trades // 2}"} if named else {}
        price = self._random.choice([10.0, 10.5, 11.0])
        fields = {"interval": "tick", "event_time": at.isoformat(), "close": price, "volume": 0.5, **identity}
        return self._known("trade", "bronze.crypto", "C0-USD", fields)

    def _known(
        self, kind: str, topic: str, key: str, fields: Mapping[str, Any] | None = None, value: bytes | None = None
    ) -> Sent:
        with self._lock:
            sent = Sent(len(self.sent), topic, kind, key, fields or {}, value)
            self.sent[sent.number] = sent
        return sent

    # -- sending ---------------------------------------------------------------------------------------

    def _connect(self) -> Producer:
        # an idempotent producer sends nothing twice, however often the broker dies
        return Producer(
            {
                **self.config,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.max.bytes": 1_000_000,
            }
        )

    def _send(self, sent: Sent) -> None:
        self._produce(self._producer, sent)

    def _produce(self, producer: Producer, sent: Sent, stamp: int | None = None) -> None:
        value = sent.value
        if sent.kind != "poison":
            value = json.dumps({"symbol": sent.key, **sent.fields}).encode()

        def delivered(error: object, message: Message) -> None:
            if error is None:
                place = (str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
                with self._lock:
                    self.acknowledged[sent.number] = place

        while True:
            try:
                headers: Any = [(NUMBER, str(sent.number).encode())]
                stamped: Any = {} if stamp is None else {"timestamp": stamp}
                producer.produce(sent.topic, value, sent.key, headers=headers, on_delivery=delivered, **stamped)
            except BufferError:
                producer.poll(0.5)
            except KafkaException as error:
                if producer is not self._producer or not error.args[0].fatal():
                    raise
                producer = self._producer = self._connect()
            else:
                return
