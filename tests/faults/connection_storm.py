"""A thousand vehicles lose their connection within a minute, on a portal of real processes.

    python -m tests.faults.connection_storm [--cars N] [--stale N] [--slow SECONDS] [--threads N]
                                            [--quick]

Half of the drivers' tokens are declined when they are refreshed, the other half when the car is
read. Whoever wants to hear of alerts gets one message, and one where half of them come back; the
admin shows every single one. Worker and beat run over a throwaway PostgreSQL and Redis; with
`--quick` the tasks run in processes of their own, and the clock is moved instead of waiting for
it. Loopback only; ends by itself.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from integrations.sandbox.faults import FOREVER, Fault
from tests import servers
from tests.faults.portal import Portal
from tests.faults.sinks import MailSink, taking_mails
from tests.maintenance.receivers_of_channels import Receiver, receiving
from tests.processes import manage, started, wait_until

NOW, NIGHT, DIGEST, CHANNEL = (
    f"{name}@staff.example.com" for name in ("now", "night", "digest", "channel")
)
EVERYBODY = (NOW, NIGHT, DIGEST, CHANNEL)
AT_ONCE = (NOW, CHANNEL)
SETTLED = timedelta(seconds=90)  # longer than messages are gathered
PATIENCE = 420.0  # seconds until all is told
WORKERS, THREADS = 2, 3  # threads of each worker
MOST_LISTED = 50
QUIET_CARS = 30
SECONDS_OF_A_PAGE = 5.0
DECLINED = ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
LOST = """SELECT count(*) FROM maintenance_alert WHERE kind = 'connection'
    AND resolved_at IS NULL AND opened_at IS NOT NULL"""
WAYS = "SELECT count(*) FROM integrations_connection GROUP BY status_reason"
# Whose connection is not lost any more is not spoken of here.
STALE_TOLD = """SELECT count(*) FROM integrations_outboxentry o
    JOIN maintenance_alert a ON a.id = o.object_id
    WHERE o.kind IN ('mail_alert', 'push_alert') AND a.kind = 'stale_data'
    AND o.result <> 'told long ago'"""
SINGLE_TOLD = STALE_TOLD + " AND a.vehicle_id IS NOT NULL"
TOLD = """SELECT count(*) FROM integrations_outboxentry
    WHERE kind IN ('mail_alert', 'push_alert') AND state = 'pending' AND next_attempt_at <= now()"""


@dataclass
class Storm:
    """One run: the portal, where its messages end, and what was found to be wrong."""

    portal: Portal
    mails: MailSink
    hook: Receiver
    cars: int
    stale: int
    found: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def expect(self, what: str, value: object, wanted: object) -> None:
        if value != wanted:
            self.found.append(f"{what}: {value}, not {wanted}")

    def new_mails(self, address: str) -> list[EmailMessage]:
        """Since this was asked last."""
        mails = self.mails.to(address)
        before, self.seen[address] = self.seen.get(address, 0), len(mails)
        return mails[before:]

    def new_pushes(self) -> list[dict[str, Any]]:
        before, self.seen["hook"] = self.seen.get("hook", 0), len(self.hook.messages)
        return self.hook.messages[before:]

    def expect_messages(self, when: str, told: tuple[str, ...], title: str) -> list[EmailMessage]:
        """These got one message each since the last look, and nobody else any."""
        mails = {address: self.new_mails(address) for address in EVERYBODY}
        for address, new in mails.items():
            subjects = [str(mail["Subject"]) for mail in new]
            self.expect(f"{when}, {address}", subjects, [title] if address in told else [])
        titles = [push["title"] for push in self.new_pushes()]
        self.expect(f"{when}, the channel", titles, [title] if CHANNEL in told else [])
        return [mail for new in mails.values() for mail in new]

    def ask(self, job: str, *args: Any) -> Any:
        return json.loads(self.portal.do(job, *args))

    def deliver(self, **later: float) -> None:
        """Two senders at once, at a later moment."""
        self.portal.pass_time(**later)
        crowd = self.portal.start("deliver_for", 0, times=2)
        self.expect("senders", {one.code for one in self.portal.wait(crowd)}, {0})


# --- The storm --------------------------------------------------------------------------------


def blow(storm: Storm, folder: Path, threads: int) -> None:
    """With worker and beat, as in production; until all that is due is told."""
    with ExitStack() as stack:
        command = ["-m", "celery", "-A", "fleetportal"]
        worker = [*command, "worker", "--pool", "threads", "--concurrency", str(threads)]
        for n in range(WORKERS):
            name = ("--hostname", f"storm{n}@localhost", "--loglevel", "WARNING")
            stack.enter_context(
                started(storm.portal.env, folder / f"worker{n}.log", *worker, *name)
            )
        storm.portal.do("make_due")
        beat = (*command, "beat", "--pidfile=", "--schedule", str(folder / "beat"))
        stack.enter_context(started(storm.portal.env, folder / "beat.log", *beat))
        began = time.monotonic()
        wait_until(lambda: _lost(storm) == storm.cars, seconds=PATIENCE, why="not all lost")
        storm.figures["lost within s"] = round(time.monotonic() - began, 1)
        expected = storm.cars + len(AT_ONCE)  # each driver hears of it too
        wait_until(
            lambda: storm.mails.count() >= expected and not _untold(storm),
            seconds=PATIENCE,
            why=f"not all told: {storm.mails.count()} mails",
        )
        storm.figures["told within s"] = round(time.monotonic() - began, 1)
        time.sleep(15)  # one more turn of beat: nothing follows
    logs = "\n".join(log.read_text() for log in folder.glob("worker*.log"))
    if "Traceback" in logs:
        storm.found.append(f"a worker failed: {logs[-2000:]}")


def blow_quickly(storm: Storm) -> None:
    """The same tasks in processes of their own, and the clock is moved."""
    storm.portal.do("make_due")
    began = time.monotonic()
    crowd = storm.portal.start("command", "poll", times=3)
    crowd += storm.portal.start("deliver_for", 2.0, times=2)
    codes = [one.code for one in storm.portal.wait(crowd)]
    storm.figures["lost within s"] = round(time.monotonic() - began, 1)
    storm.expect("senders", set(codes[3:]), {0})
    storm.deliver(seconds=SETTLED.total_seconds())


def _lost(storm: Storm) -> int:
    return int(storm.portal.ask(LOST))


def _untold(storm: Storm) -> int:
    return int(storm.portal.ask(TOLD))


# --- What has to be so ------------------------------------------------------------------------


def check_storm(storm: Storm) -> None:
    title = f"{storm.cars} alerts for {storm.cars} vehicles"
    mails = storm.expect_messages("the storm", AT_ONCE, title)
    storm.expect("lost", _lost(storm), storm.cars)
    ways = [count for (count,) in storm.portal.rows(WAYS)]
    storm.expect("ways to lose it", ways, [storm.cars // 2] * 2)
    for mail in mails:
        check_words(storm, mail)
    addressed = sum(len(storm.mails.to(f"driver{n}@example.com")) for n in range(storm.cars))
    storm.expect("mails to drivers", addressed, storm.cars)
    storm.figures["one more lost"] = storm.ask("lose_one")


def check_words(storm: Storm, mail: EmailMessage) -> None:
    body = mail.get_body(("plain",))
    text = body.get_content() if body else ""
    more = storm.cars - MOST_LISTED
    storm.expect("vehicles listed", text.count("- Overdue:"), min(storm.cars, MOST_LISTED))
    storm.expect("the rest is counted", f"And {more} more vehicle" in text, more > 0)
    storm.expect("the list is linked", "/admin/maintenance/alert/" in text, wanted=True)


def check_list(storm: Storm, before: dict[str, Any]) -> None:
    page = storm.ask("open_list", "kind__exact=connection")
    storm.figures["list"] = page
    storm.expect("alerts in the admin", page["found"], storm.cars)
    storm.expect("queries of the list", page["queries"], before["queries"])
    storm.expect("the list opens in time", page["seconds"] < SECONDS_OF_A_PAGE, wanted=True)


def check_later(storm: Storm) -> None:
    """Quiet hours end, the summary's hour comes, and three days pass."""
    title = f"{storm.cars} alerts for {storm.cars} vehicles"
    storm.deliver(hours=7)
    storm.expect_messages("after the quiet hours", (NIGHT,), title)
    storm.deliver(hours=3)
    storm.expect_messages("at the summary's hour", (DIGEST,), title)
    storm.portal.pass_time(days=3)
    storm.expect("failures", storm.ask("judge_all")[1:], [0, 0])
    storm.deliver(minutes=1)
    storm.deliver(hours=24)
    storm.expect("told that they are stale", storm.portal.ask(STALE_TOLD), 0)
    storm.expect_messages("three days later", (), "")


def check_return(storm: Storm) -> None:
    """Half come back, at a time that only the summary waits for."""
    before = _lost(storm)
    crowd = storm.portal.start("come_back", 3, times=3)
    crowd += storm.portal.start("deliver_for", 1.0, times=2)
    codes = {one.code for one in storm.portal.wait(crowd)}
    storm.expect("those who brought them back", codes, {0})
    back = before - _lost(storm)
    storm.expect("came back", abs(back - storm.cars / 2) <= 2, wanted=True)
    storm.ask("judge_all")
    storm.deliver(seconds=SETTLED.total_seconds())
    title = f"{back} alerts are over for {back} vehicles"
    storm.expect_messages("half are back", (NOW, CHANNEL, NIGHT), title)
    storm.expect("outages for them", storm.portal.ask(STALE_TOLD), 0)
    storm.deliver(hours=24)
    storm.expect_messages("half are back, the summary", (DIGEST,), title)


def check_silence(storm: Storm) -> None:
    """One make goes quiet: one alert for all, and its vehicles say nothing by themselves."""
    storm.portal.do("fall_silent", QUIET_CARS)
    storm.ask("judge_all")
    told = storm.portal.ask(STALE_TOLD)
    storm.portal.pass_time(hours=1, minutes=30)
    storm.ask("judge_all")
    storm.deliver(seconds=SETTLED.total_seconds())
    storm.expect("told before it is one", told, 0)
    opened = storm.new_mails(NOW)
    storm.expect("mails of the outage", len(opened), 1)
    storm.expect("pushes of the outage", len(storm.new_pushes()), 1)
    storm.portal.pass_time(hours=13)
    storm.ask("judge_all")
    storm.portal.do("speak_again")
    storm.ask("judge_all")
    storm.deliver(seconds=SETTLED.total_seconds())
    ended = storm.new_mails(NOW)
    storm.expect("mails of its end", len(ended), 1)
    storm.expect("pushes of its end", len(storm.new_pushes()), 1)
    storm.expect("told of single vehicles", storm.portal.ask(SINGLE_TOLD), 0)


# --- One run ----------------------------------------------------------------------------------


@contextmanager
def prepared(cars: int, stale: int, folder: Path, *, slow: float, quick: bool) -> Iterator[Storm]:
    with ExitStack() as stack:
        server = stack.enter_context(servers.postgres())
        url = stack.enter_context(servers.empty_database(server))
        mails = stack.enter_context(taking_mails())
        hook = stack.enter_context(receiving())
        broker = "memory://" if quick else stack.enter_context(servers.redis()).url
        settings = {
            "CELERY_BROKER_URL": broker,
            "EMAIL_URL": mails.url,
            "CHANNELS_ALLOW_PRIVATE": "True",  # the channel ends on loopback
            "FLEETIO_API_TOKEN": "",
            "SMARTCAR_MANAGEMENT_TOKEN": "",  # Smartcar does not list these drivers
        }
        portal = Portal(folder, url, settings=settings, vehicles=1, drivers=1)
        stack.enter_context(portal.running())
        done = manage(portal.env, "migrate", "--verbosity", "0")
        assert done.returncode == 0, done.stdout + done.stderr
        declined = Fault(path="/v2.0/vehicles/", error=DECLINED, delay=slow, times=FOREVER)
        portal.sandbox.smartcar.faults.add(declined)
        portal.do("prepare", cars, stale, hook.url)
        yield Storm(portal, mails, hook, cars, stale)


def run(cars: int, stale: int, *, slow: float, threads: int, quick: bool) -> Storm:
    with (
        tempfile.TemporaryDirectory(prefix="fleet-connections-") as name,
        prepared(cars, stale, Path(name), slow=slow, quick=quick) as storm,
    ):
        before = storm.ask("open_list", "kind__exact=stale_data")
        if quick:
            blow_quickly(storm)
        else:
            blow(storm, Path(name), threads)
        check_storm(storm)
        check_list(storm, before)
        check_later(storm)
        check_return(storm)
        check_silence(storm)
        return storm


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.connection_storm")
    parser.add_argument("--cars", type=int, default=1000)
    parser.add_argument("--stale", type=int, default=10, help="of these, quiet before the storm")
    parser.add_argument("--slow", type=float, default=0, help="seconds that each read takes")
    parser.add_argument("--threads", type=int, default=THREADS, help="of each worker")
    parser.add_argument("--quick", action="store_true", help="move the clock instead of waiting")
    options = parser.parse_args(argv)
    storm = run(
        options.cars,
        options.stale,
        slow=options.slow,
        threads=options.threads,
        quick=options.quick,
    )
    text = f"{options.cars} connections lost: "
    text += f"{len(storm.found)} faults" if storm.found else "right"
    sys.stdout.write("\n".join([text, json.dumps(storm.figures), *storm.found]) + "\n")
    return 1 if storm.found else 0


if __name__ == "__main__":
    sys.exit(main())
