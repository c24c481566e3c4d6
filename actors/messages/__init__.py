"""The messages between Callboard's actors: frozen values, batches wherever there are many.

`paths` has the paths of the actors that they are sent to.

Thespian moves some hundreds of messages a second between processes, whatever their size, so
events, deliveries, settlements, attempts and failures never travel alone. It also writes out each
message two or three times, for a log of its own that is off; so what batches hold is not shown.
"""

from callboard.actors.messages.attempts import AttemptPolicy as AttemptPolicy
from callboard.actors.messages.attempts import Attempts as Attempts
from callboard.actors.messages.attempts import AttemptsPersisted as AttemptsPersisted
from callboard.actors.messages.attempts import WhichAttempts as WhichAttempts
from callboard.actors.messages.events import DeliveryBatch as DeliveryBatch
from callboard.actors.messages.events import EventBatch as EventBatch
from callboard.actors.messages.events import EventDeliveries as EventDeliveries
from callboard.actors.messages.events import NotHeld as NotHeld
from callboard.actors.messages.events import Progress as Progress
from callboard.actors.messages.events import Published as Published
from callboard.actors.messages.events import PublishEvents as PublishEvents
from callboard.actors.messages.events import Quiesce as Quiesce
from callboard.actors.messages.events import Quiesced as Quiesced
from callboard.actors.messages.events import RawEvent as RawEvent
from callboard.actors.messages.events import Reconcile as Reconcile
from callboard.actors.messages.events import Routed as Routed
from callboard.actors.messages.failures import CountFailures as CountFailures
from callboard.actors.messages.failures import FailedAttempts as FailedAttempts
from callboard.actors.messages.failures import FailingListed as FailingListed
from callboard.actors.messages.failures import FailuresCounted as FailuresCounted
from callboard.actors.messages.failures import FailuresForgotten as FailuresForgotten
from callboard.actors.messages.failures import FailuresSeen as FailuresSeen
from callboard.actors.messages.failures import FlushFailures as FlushFailures
from callboard.actors.messages.failures import FlushHooks as FlushHooks
from callboard.actors.messages.failures import GetFailures as GetFailures
from callboard.actors.messages.failures import ListFailing as ListFailing
from callboard.actors.messages.hook_streams import Applied as Applied
from callboard.actors.messages.hook_streams import Barrier as Barrier
from callboard.actors.messages.hook_streams import ChangeHooks as ChangeHooks
from callboard.actors.messages.hook_streams import HookPage as HookPage
from callboard.actors.messages.hook_streams import HooksChanged as HooksChanged
from callboard.actors.messages.hook_streams import HooksLoaded as HooksLoaded
from callboard.actors.messages.hook_streams import LoadHooks as LoadHooks
from callboard.actors.messages.hook_streams import NextPage as NextPage
from callboard.actors.messages.hook_streams import Subscribe as Subscribe
from callboard.actors.messages.hooks import AddHook as AddHook
from callboard.actors.messages.hooks import ApplyHook as ApplyHook
from callboard.actors.messages.hooks import ConfigurationChanged as ConfigurationChanged
from callboard.actors.messages.hooks import DisableHook as DisableHook
from callboard.actors.messages.hooks import EditHook as EditHook
from callboard.actors.messages.hooks import GetHook as GetHook
from callboard.actors.messages.hooks import HookApplied as HookApplied
from callboard.actors.messages.hooks import HookList as HookList
from callboard.actors.messages.hooks import HookProblem as HookProblem
from callboard.actors.messages.hooks import HookProblems as HookProblems
from callboard.actors.messages.hooks import HookSaved as HookSaved
from callboard.actors.messages.hooks import ListHookProblems as ListHookProblems
from callboard.actors.messages.hooks import ListHooks as ListHooks
from callboard.actors.messages.hooks import RemoveHook as RemoveHook
from callboard.actors.messages.hooks import ZoneChanges as ZoneChanges
from callboard.actors.messages.metrics import Figures as Figures
from callboard.actors.messages.metrics import GetFigures as GetFigures
from callboard.actors.messages.metrics import GetHealth as GetHealth
from callboard.actors.messages.metrics import GetMetrics as GetMetrics
from callboard.actors.messages.metrics import Health as Health
from callboard.actors.messages.metrics import MetricsText as MetricsText
from callboard.actors.messages.operations import Ask as Ask
from callboard.actors.messages.operations import GetSettings as GetSettings
from callboard.actors.messages.operations import ListTable as ListTable
from callboard.actors.messages.operations import NoAnswer as NoAnswer
from callboard.actors.messages.operations import RefusedByActor as RefusedByActor
from callboard.actors.messages.operations import TableListed as TableListed
from callboard.actors.messages.retries import Defer as Defer
from callboard.actors.messages.retries import Deferred as Deferred
from callboard.actors.messages.retries import DueBatch as DueBatch
from callboard.actors.messages.secrets import AddSecret as AddSecret
from callboard.actors.messages.secrets import HookSecrets as HookSecrets
from callboard.actors.messages.secrets import ListSecrets as ListSecrets
from callboard.actors.messages.secrets import ReencryptSecrets as ReencryptSecrets
from callboard.actors.messages.secrets import RetireSecret as RetireSecret
from callboard.actors.messages.secrets import SecretsReencrypted as SecretsReencrypted
from callboard.admin import Refused as Refused
