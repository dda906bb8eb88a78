"""Fills the holes between numbered trades, a page at a time, in a thread of its own: what is live goes on meanwhile.

Input: holes. Output: pages of trades. Symbols take turns, so that a long hole of one does not keep the others waiting.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.exchanges.exchange import Exchange, Page
from financelake_assets.providers.exchanges.rest import Rest
from financelake_assets.providers.exchanges.trade_ids import Hole, TradeIds

SETTLING_SECONDS = 0.4
"""A hole this young may be an order of arrival."""
_ASKED_AGAIN = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait where an answer lacks trades: an exchange's REST interface may be behind its WebSocket."""
_PROBLEM_SECONDS = 30.0

log = structlog.get_logger()


class Answer(NamedTuple):
    """What a question brought: a page, or a problem."""

    symbol: str
    hole: Hole
    page: Page | None
    problem: str | None


class Filler:
    """One question at a time. Call ``look`` often; it never waits."""

    def __init__(self, exchange: Exchange, rest: Rest) -> None:
        self.problem: str | None = None
        self.absent = 0
        self._exchange, self._rest = exchange, rest
        self._questions: queue.SimpleQueue[tuple[str, Hole] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._asking = False
        self._turn: list[str] = []
        self._due: dict[tuple[str, int], float] = {}
        self._lacking: dict[tuple[str, int], int] = {}
        threading.Thread(target=self._work, name="fill", daemon=True).start()

    def look(self, known: Mapping[str, TradeIds]) -> Answer | None:
        """An answer if one has come; else ask for the next hole that is due."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            self._ask(known)
            return None
        self._asking = False
        self.problem = answer.problem
        if answer.problem is not None:
            self._due[answer.symbol, answer.hole.before] = time.monotonic() + _PROBLEM_SECONDS
        return answer

    def judge(self, answer: Answer, ids: TradeIds, taken: int) -> None:
        """Settle what the exchange does not have, or ask for it later. Call it when the page's trades are taken.

        Args:
            answer: what came.
            ids: of its symbol.
            taken: how many of its trades were new.
        """
        if answer.page is None or (taken and not answer.page.reached):
            return
        if answer.page.reached and answer.hole.size is None:
            ids.settle(answer.hole)
            return
        for hole in ids.holes:
            if not (answer.hole.after <= hole.after and hole.before <= answer.hole.before):
                continue
            place = (answer.symbol, hole.before)
            times = self._lacking.get(place, 0)
            if times < len(_ASKED_AGAIN) or not answer.page.reached:
                self._lacking[place] = times + 1
                self._due[place] = time.monotonic() + _ASKED_AGAIN[min(times, len(_ASKED_AGAIN) - 1)]
            else:
                ids.settle(hole)
                self.absent += hole.size or 0
                log.warning("trades that the exchange does not have", symbol=answer.symbol, after=hole.after)

    def close(self) -> None:
        """End the thread when its question is answered."""
        self._questions.put(None)

    def _ask(self, known: Mapping[str, TradeIds]) -> None:
        if self._asking:
            return
        now = time.monotonic()
        open_holes = {symbol: ids.holes for symbol, ids in known.items() if ids.holes}
        for place in [place for place in self._due if place[0] not in open_holes]:
            del self._due[place]
            self._lacking.pop(place, None)
        self._turn = [symbol for symbol in self._turn if symbol in open_holes]
        self._turn += [symbol for symbol in open_holes if symbol not in self._turn]
        for symbol in list(self._turn):
            for hole in open_holes[symbol]:
                if self._due.setdefault((symbol, hole.before), now + SETTLING_SECONDS) <= now:
                    self._turn.remove(symbol)
                    self._turn.append(symbol)
                    self._asking = True
                    self._questions.put((symbol, hole))
                    return

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            symbol, hole = question
            try:
                self._answers.put(Answer(symbol, hole, self._exchange.page(symbol, hole, self._rest.get), None))
            except ProviderError as error:
                self._answers.put(Answer(symbol, hole, None, str(error)))
            except Exception as error:  # a fault of ours must be seen, and must not end the filling of other holes
                log.exception("a hole could not be filled", symbol=symbol)
                self._answers.put(Answer(symbol, hole, None, f"{type(error).__name__}: {error}"))
