"""Teams: how ranks share out numbers and hear of each other, here as threads that meet in a store."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import FileStore, HashStore, PrefixStore, TCPStore

from goldore.errors import GoldoreError, UsageError
from goldore.runs import team
from goldore.runs.team import Team, WorkerTeam, as_ranges, find_team, from_ranges, rank_and_size

NAMES = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_USE_AGENT_STORE",
    "TORCHELASTIC_RESTART_COUNT",
)


@pytest.fixture
def variables(monkeypatch):
    """Set what torchrun sets, and nothing else of it."""

    def put(**values):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    put()
    return put


@pytest.fixture(params=["hash", "file", "tcp"])
def stores(request, tmp_path):
    """The stores in which so many ranks meet, one for each."""

    def make(size):
        if request.param == "hash":
            return [HashStore()] * size
        if request.param == "file":
            return [FileStore(str(tmp_path / "store"), size) for _ in range(size)]
        first = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        rest = [TCPStore("127.0.0.1", first.port, wait_for_workers=False) for _ in range(size - 1)]
        return [first, *rest]

    return make


def members(stores):
    return [
        WorkerTeam(rank, len(stores), rank, PrefixStore("a", store), keeps_store=rank == 0)
        for rank, store in enumerate(stores)
    ]


def together(ranks, work):
    """Let all ranks do something at once; what each gives, by rank."""
    with ThreadPoolExecutor(len(ranks)) as pool:
        return [done.result(60) for done in [pool.submit(work, member) for member in ranks]]


def drain(take, count, pause=0.0):
    found = []
    while some := take(count):
        assert len(some) <= count
        found.append(some)
        time.sleep(pause)
    assert take(count) == []  # and it stays so
    return found


class TestClaims:
    @pytest.mark.parametrize("size", [2, 5])
    @pytest.mark.parametrize("total", [0, 1, 3, 57])
    @pytest.mark.parametrize("count", [1, 8])
    def test_each_number_is_given_once(self, size, total, count):
        numbers = np.arange(total) * 3 + 2
        found = together(members([HashStore()] * size), lambda each: drain(each.claims(numbers), count))
        assert sorted(number for each in found for some in each for number in some) == numbers.tolist()

    def test_each_number_is_given_once_in_every_kind_of_store(self, stores):
        found = together(members(stores(4)), lambda each: drain(each.claims(range(50)), 3))
        assert sorted(number for each in found for some in each for number in some) == list(range(50))

    def test_the_quick_take_more(self):
        pauses = [0.0, 0.05, 0.2]
        found = together(
            members([HashStore()] * 3), lambda each: drain(each.claims(range(60)), 4, pauses[each.rank])
        )
        taken = [sum(map(len, each)) for each in found]
        assert sum(taken) == 60
        assert taken[0] > taken[1] >= taken[2]

    def test_pieces_get_smaller_towards_the_end(self):
        one, two = members([HashStore()] * 2)
        first, second = one.claims(range(20)), two.claims(range(20))
        sizes = [len(take(8)) for take in (first, second) * 4]
        assert sizes == [8, 6, 3, 2, 1, 0, 0, 0]

    def test_another_list_begins_anew(self):
        one, two = members([HashStore()] * 2)
        assert drain(one.claims([1, 2, 3]), 9) == [[1, 2], [3]]
        assert drain(two.claims([1, 2, 3]), 9) == []
        assert drain(two.claims([4]), 9) == [[4]]
        assert drain(one.claims([4]), 9) == []

    def test_one_alone_gets_them_in_order(self):
        assert drain(Team().claims(np.arange(5)), 2) == [[0, 1], [2, 3], [4]]
        assert drain(Team().claims([]), 2) == []
        assert all(type(each) is int for each in Team().claims(np.arange(5))(5))


class TestTalk:
    def test_gather_gives_all_values_by_rank_again_and_again(self, stores):
        def work(member):
            time.sleep(0.05 * member.rank)
            return [member.gather({"rank": member.rank, "round": place}) for place in range(2)]

        expected = [[{"rank": rank, "round": place} for rank in range(3)] for place in range(2)]
        assert together(members(stores(3)), work) == [expected] * 3

    def test_gather_waits_for_the_last_and_listens_meanwhile_and_at_the_end(self):
        heard, slow = [], threading.Event()

        def work(member):
            if member.rank == 1:
                slow.wait(10)
                member.tell("just before the end")
                return member.gather(1)

            def listen():
                heard.extend(member.heard())
                slow.set()

            return member.gather(0, listen)

        assert together(members([HashStore()] * 2), work) == [[0, 1]] * 2
        assert heard == ["just before the end"]

    def test_what_is_told_arrives_once_and_in_order(self, stores):
        zero, one, two = members(stores(3))
        assert zero.heard() == []
        for number in range(3):
            one.tell(["one", number])
            two.tell(["two", number])
        assert zero.heard() == [[who, number] for number in range(3) for who in ("one", "two")]
        assert zero.heard() == []
        two.tell(math.nan)
        assert math.isnan(zero.heard()[0])

    def test_one_alone_hears_nothing(self):
        team = Team()
        team.tell(1)
        team.leave()
        assert (team.gather("x"), team.heard()) == (["x"], [])

    def test_the_keeper_of_the_store_leaves_last(self):
        zero, one = members([HashStore()] * 2)
        left = threading.Thread(target=zero.leave)
        left.start()
        left.join(0.5)
        assert left.is_alive()
        one.leave()
        left.join(10)
        assert not left.is_alive()

    @pytest.mark.parametrize(
        "call",
        [
            lambda team: team.claims([1])(1),
            lambda team: team.gather(1),
            lambda team: team.tell(1),
            lambda team: team.heard(),
            lambda team: team.leave(),
        ],
    )
    def test_a_lost_store_is_one_sentence(self, call):
        keeper = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        store = TCPStore("127.0.0.1", keeper.port, wait_for_workers=False)
        del keeper
        with pytest.raises(
            GoldoreError, match=r"^the connection .* is lost \(.*\); finished trials"
        ) as caught:
            call(WorkerTeam(1, 2, 1, store, keeps_store=False))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


class TestRanges:
    @given(st.sets(st.integers(0, 10**7)))
    def test_numbers_come_back(self, numbers):
        ordered = sorted(numbers)
        assert from_ranges(as_ranges(ordered)).tolist() == ordered

    @given(st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=4), max_size=4))
    def test_ranges_of_many_are_united(self, of_all):
        ranges = [[first, first + length] for each in of_all for first, length in each]
        expected = {number for first, end in ranges for number in range(first, end)}
        assert from_ranges(ranges).tolist() == sorted(expected)

    def test_many_numbers_are_few_ranges(self):
        assert as_ranges(np.r_[0:1000, 2000:2001, 5000:9000]) == [[0, 1000], [2000, 2001], [5000, 9000]]
        assert as_ranges([]) == []


class TestEnvironment:
    def test_nothing_said_is_one_alone(self, variables):
        assert rank_and_size() is None
        assert (type(find_team()), find_team().size) == (Team, 1)

    @pytest.mark.parametrize("left_out", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
    def test_half_of_it_is_none_of_torchrun(self, variables, left_out):
        said = {"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}
        variables(**{name: value for name, value in said.items() if name != left_out})
        assert rank_and_size() is None

    def test_a_world_of_one_needs_no_store(self, variables):
        variables(RANK=0, WORLD_SIZE=1, MASTER_ADDR="nowhere.invalid", MASTER_PORT="none")
        assert rank_and_size() == (0, 1)
        assert type(find_team()) is Team

    @pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 0), ("", 2), (0, "two"), ("1.0", 2)])
    def test_contradictions_are_refused_with_both_values(self, variables, rank, size):
        variables(RANK=rank, WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=1)
        with pytest.raises(UsageError, match=f"RANK={rank} and WORLD_SIZE={size}; both must be as torchrun"):
            find_team()

    @pytest.mark.parametrize("wrong", [{"MASTER_PORT": "port"}, {"LOCAL_RANK": "x"}, {"MASTER_PORT": 1}])
    def test_no_way_to_the_others_is_one_sentence(self, variables, wrong, monkeypatch):
        monkeypatch.setattr("goldore.runs.team._CONNECT", timedelta(seconds=1))
        variables(**{"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 9, **wrong})
        with pytest.raises(GoldoreError, match=r"cannot be reached .* MASTER_PORT in the environment"):
            find_team()

    def test_ranks_agree_on_a_meeting_whatever_the_store_still_holds(self):
        keeper = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        names = [
            together(members([keeper] * 3), lambda each: team._meet(each._store, each.rank, 3))
            for _ in range(2)
        ]
        assert [len(set(each)) for each in names] == [1, 1]
        assert names[0] != names[1]

    def test_who_does_not_come_is_not_waited_for_without_end(self, monkeypatch):
        monkeypatch.setattr(team, "_PATIENCE", 0.5)
        with pytest.raises(GoldoreError, match="only 1 of 2 processes came together"):
            team._meet(HashStore(), 0, 2)
