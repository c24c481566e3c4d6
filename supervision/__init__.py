"""OTP supervision for Thespian actors: restart strategies, intensity, shutdown, liveness.

A child is a `SupervisedActor`; a `Supervisor` starts the children of its `SupervisorSpec` in
order, restarts those that end, stops them in reverse order, and may itself be a child. Every
actor receives the addresses of the peers that its specification names, and their changes.
"""

from callboard.supervision.actor import SupervisedActor, die_with_parent
from callboard.supervision.messages import (
    Answer,
    AskedBy,
    Finished,
    Forwarded,
    GaveUp,
    GetTree,
    Locate,
    Located,
    Peer,
    PeersChanged,
    Question,
    Ready,
    Start,
    Stop,
    TreeNode,
)
from callboard.supervision.remote import (
    MEMBER,
    PLACE,
    RemoteSupervisors,
    RemoteSupervisorsSpec,
)
from callboard.supervision.roomy_stack import RoomyThread
from callboard.supervision.spec import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    ChildSpec,
    SupervisorSpec,
)
from callboard.supervision.supervisor import Supervisor
from callboard.supervision.timer import Call, Timer

__all__ = [
    "MEMBER",
    "ONE_FOR_ALL",
    "ONE_FOR_ONE",
    "PERMANENT",
    "PLACE",
    "REST_FOR_ONE",
    "TEMPORARY",
    "TRANSIENT",
    "Answer",
    "AskedBy",
    "Call",
    "ChildSpec",
    "Finished",
    "Forwarded",
    "GaveUp",
    "GetTree",
    "Locate",
    "Located",
    "Peer",
    "PeersChanged",
    "Question",
    "Ready",
    "RemoteSupervisors",
    "RemoteSupervisorsSpec",
    "RoomyThread",
    "Start",
    "Stop",
    "SupervisedActor",
    "Supervisor",
    "SupervisorSpec",
    "Timer",
    "TreeNode",
    "die_with_parent",
]
