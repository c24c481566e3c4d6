"""A program with an actor system of its own, in which Callboard is one child of one actor.

It needs no server: broker and store are the embedded ones, and the endpoint is a small receiver in
this program. `python host.py` shows on multiprocTCPBase, a process for every actor, what a host can
do; `python host.py simpleSystemBase` has all actors in this one process.
"""

import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from datetime import timedelta

from attrs import frozen
from thespian.actors import ActorSystem, ActorTypeDispatcher

from callboard import embed
from callboard.adapters.receiver import ReceivedRequest, Receiver

ACCOUNT = "0f6b1d6a55d04bd59bbbc3f3b6bfa8a1"
PATIENCE = timedelta(seconds=60)
SINGLE, MULTI = "simpleSystemBase", "multiprocTCPBase"


@frozen
class Run:
    """To the Host: run Callboard like this, with hooks to these addresses."""

    settings: embed.Settings
    program_pid: int
    good_uri: str
    bad_uri: str
    processes: bool


class Host(ActorTypeDispatcher):
    """An actor of yours. It tells the program what it does, a line at a time."""

    def receiveMsg_Run(self, run: Run, sender):
        self.run, self.program = run, sender
        self.questions, self.hooks, self.stopping = [], [], False
        self.callboard = self.createActor(embed.Callboard)
        # If this program is killed, Callboard settles what is under way and ends.
        self.send(self.callboard, embed.begin(run.settings, owner_pid=run.program_pid))

    def receiveMsg_Ready(self, _ready, callboard):
        self.send(self.program, "Callboard is ready")
        self.send(callboard, embed.SubscribeToNotices())
        for uri in (self.run.good_uri, self.run.bad_uri):
            hook = {"pvt_account_id": ACCOUNT, "name": "calls", "uri": uri, "format": "json"}
            add = embed.AddHook(hook | {"hook": "channel_create"})
            self.questions.append(embed.Ask("hook_listener", add))
        calls = tuple(call_created(number) for number in range(3))
        self.questions.append(embed.Ask("event_bridge", embed.PublishEvents(calls)))
        self.ask_next()

    def ask_next(self):
        """Have an actor of Callboard answer; the answer is a message to this actor."""
        if self.questions:
            self.send(self.callboard, self.questions[0])

    def receiveMsg_HookSaved(self, saved, _listener):
        self.send(self.program, f"hook added, to {saved.document['uri']}")
        self.hooks.append(saved.document["_id"])
        del self.questions[0]
        self.ask_next()

    def receiveMsg_Published(self, published, _bridge):
        self.send(self.program, f"{published.count} events published")
        del self.questions[0]

    def receiveMsg_Refused(self, refused, _sender):
        # For now: the store is not prepared yet, or the actor asked is being restarted.
        self.send(self.program, f"refused: {refused.reason}")
        self.wakeupAfter(timedelta(seconds=0.2))

    def receiveMsg_WakeupMessage(self, wakeup, _sender):
        if wakeup.payload == "ended":
            self.actorSystemShutdown()
        self.ask_next()

    def receiveMsg_Notices(self, message, sender):
        self.send(sender, message.seen())
        for notice in message.notices:
            match notice:
                case embed.DeliveryFailed(account_id, hook_id, uri=uri, reason=reason):
                    self.send(self.program, f"delivery failed: {uri}, {reason}")
                    if hook_id in self.hooks:
                        self.hooks.remove(hook_id)
                        # Callboard does this by itself when a hook fails too often.
                        disable = embed.DisableHook(account_id, hook_id, "its endpoint is broken")
                        self.send(self.callboard, embed.Ask("hook_listener", disable))
                case embed.HookDisabled(reason=reason):
                    self.send(self.program, f"hook disabled: {reason}")
                    if self.run.processes:
                        self.send(self.callboard, embed.Locate("deliveries/deliverer-1"))
                    else:
                        self.stop()
                case embed.ChildRestarted(path=path, reason=reason):
                    self.send(self.program, f"child restarted: {path}, {reason}")
                    self.stop()

    def receiveMsg_Located(self, located, _callboard):
        self.send(self.program, f"kill -9 of {located.path}")
        os.kill(located.peer.pid, signal.SIGKILL)

    def stop(self):
        """Let Callboard settle what is under way, and end."""
        self.stopping = True
        self.send(self.callboard, embed.Stop())

    def receiveMsg_GaveUp(self, gave_up, _callboard):
        self.send(self.program, f"gave up: {gave_up.reason}")

    def receiveMsg_ChildActorExited(self, _exited, _sender):
        if self.stopping:
            self.send(self.program, "Callboard has ended")
            # The program ends the actor system then, unless it was killed meanwhile.
            self.wakeupAfter(timedelta(seconds=5), "ended")
        else:  # The program was killed, or Callboard: nothing else would end the actors.
            self.actorSystemShutdown()


def call_created(number):
    """What a telephone switch publishes when a call comes in, as PublishEvents takes it."""
    body = {
        "Event-Category": "call_event",
        "Event-Name": "CHANNEL_CREATE",
        "App-Name": "switch",
        "App-Version": "1.0",
        "Msg-ID": f"message-{number}",
        "Call-ID": f"call-{number}",
        "Call-Direction": "inbound",
        "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
    }
    key = f"call.CHANNEL_CREATE.call-{number}"
    return "callevt", key, json.dumps(body).encode(), "application/json"


def received(request: ReceivedRequest) -> None:
    """Show what arrives at the endpoint."""
    show(f"  {request.method} {request.path} {json.loads(request.body)['call_id']}")


def show(line: str) -> None:
    """Print a line at once, whatever another thread prints."""
    print(f"{line}\n", end="", flush=True)


def main(base: str = MULTI) -> None:
    """Run Callboard in a temporary folder until everything was shown."""
    with tempfile.TemporaryDirectory() as folder, Receiver(on_request=received) as receiver:
        overrides = {"data.dir": folder, "delivery.allow_networks": "127.0.0.0/8"}
        settings = embed.load(None, os.environ, overrides | {"log.level": "error"}).settings
        embed.seal(secrets.token_bytes(32))  # Only its own processes send to it.
        system = ActorSystem(base, {"Admin Port": free_port()} if base == MULTI else None)
        try:
            uris = (f"{receiver.url}/ok", f"{receiver.url}/status/500")
            host = system.createActor(Host)
            system.tell(host, Run(settings, os.getpid(), *uris, processes=base == MULTI))
            while line := system.listen(PATIENCE):
                show(line)
                if line == "Callboard has ended":
                    break
        finally:
            system.shutdown()


def free_port() -> int:
    """A port for the admin of this actor system."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
