from __future__ import annotations

from edgemass.spool.accounts import Accounts, Run
from tests.unit.spool.queues import BOOT


def test_queued_is_what_is_neither_delivered_nor_dropped() -> None:
    accounts = Accounts()
    for seq in range(1, 6):
        accounts.produce("a", BOOT, "door", seq)
    accounts.deliver("a")
    accounts.drop("a", "expired", 2)
    account = accounts.runs["a"].account()
    assert (account.produced, account.delivered, account.queued, account.dropped) == (5, 1, 2, {"expired": 2})


def test_what_a_search_does_not_find_is_damaged() -> None:
    accounts = Accounts({"a": Run(BOOT, {"door": 5}, 5, 1)})
    assert accounts.reconcile({"a": 3}) == 1
    assert accounts.runs["a"].dropped == {"damaged": 1}


def test_what_is_found_again_is_damaged_no_longer() -> None:
    accounts = Accounts({"a": Run(BOOT, {"door": 5}, 5, 1, {"damaged": 2})})
    assert accounts.reconcile({"a": 4}) == 0
    assert (accounts.runs["a"].queued, accounts.runs["a"].dropped.get("damaged", 0)) == (4, 0)


def test_a_run_is_over_when_nothing_waits_and_nothing_can_come() -> None:
    accounts = Accounts({"old": Run(BOOT, {"door": 1}, 1, 1), "waits": Run(BOOT, {"door": 1}, 1)})
    accounts.produce("own", BOOT, "door", 1)
    accounts.deliver("own")
    assert accounts.over({"own"}) == ["old"]
    accounts.runs["own"].closed = True
    assert accounts.over({"own"}) == ["old", "own"]
