"""The notifications that Kazoo's applications publish (kapi_notifications)."""

from collections.abc import Mapping

from attrs import field, frozen

from callboard.webhooks.events.validation import (
    LIST_OF_OBJECTS,
    NON_EMPTY_LIST,
    NON_EMPTY_STRING,
    OBJECT,
    POSITIVE_INTEGER,
    Kind,
    one_of,
)


@frozen
class NotificationType:
    """One kind of notification.

    `name`: its Event-Name. `routing_key`: the key it is published with, on exchange
    `notifications`; empty for one that Callboard does not bind. `required`: headers that a valid
    one has; `kinds`: the types of headers, if present. `admin_only`: whether it is hidden from
    ordinary accounts.
    """

    name: str
    friendly_name: str
    description: str
    routing_key: str
    required: tuple[str, ...]
    kinds: Mapping[str, Kind] = field(factory=dict)
    admin_only: bool = False


# Kazoo publishes voicemail_deleted but omits it from its own list, so that it cannot be selected;
# Callboard offers it. skel belongs to no application, and notify_update is no event.
_ALL = (
    NotificationType(
        "notify_update",
        "Notify Status Update",
        "How far a consumer got with a notification; an answer to its publisher.",
        "",
        ("Status",),
        kinds={"Status": one_of("completed", "disabled", "failed", "ignored", "pending")},
    ),
    NotificationType(
        "skel",
        "Example Notification",
        "An example for developers that nobody publishes.",
        "",
        ("Account-ID", "User-ID"),
    ),
    NotificationType(
        "account_zone_change",
        "Account Zone Change",
        "The account is to move to another home zone.",
        "notifications.account.zone_change",
        ("Account-ID", "Zones"),
    ),
    NotificationType(
        "bill_reminder",
        "Bill Reminder",
        "The month is about to end: what the account's service plans will probably cost.",
        "notifications.account.reminder",
        ("Account-ID", "Due-Date", "Items", "Timestamp"),
        kinds={
            "Account-ID": NON_EMPTY_STRING,
            "Due-Date": POSITIVE_INTEGER,
            "Items": LIST_OF_OBJECTS,
            "Payment-Token": OBJECT,
            "Timestamp": POSITIVE_INTEGER,
        },
    ),
    NotificationType(
        "low_balance",
        "Account Low Balance",
        "The account has less credit than the amount it wants to be warned at.",
        "notifications.account.low_balance",
        ("Account-ID", "Current-Balance"),
    ),
    NotificationType(
        "new_account",
        "New Account",
        "There is a new account.",
        "notifications.account.new",
        ("Account-ID",),
    ),
    NotificationType(
        "service_added",
        "Service Added",
        "The account is billed for more or fewer items than before.",
        "notifications.account.service_added",
        ("Account-ID", "Audit-Log", "Items", "Timestamp"),
        kinds={"Items": LIST_OF_OBJECTS},
    ),
    NotificationType(
        "topup",
        "Automatic Account Top-up",
        "Credit was to be added to the account by itself; the message says how that went.",
        "notifications.account.topup",
        ("Account-ID", "Amount", "Response", "Success", "Timestamp"),
    ),
    NotificationType(
        "transaction",
        "Transaction Completed",
        "A payment was attempted; the message says how that went.",
        "notifications.account.transaction",
        ("Account-ID", "Amount", "Response", "Success", "Timestamp"),
    ),
    NotificationType(
        "inbound_fax",
        "Successful Fax Reception",
        "A fax has come in completely.",
        "notifications.fax.inbound",
        ("Account-ID", "Fax-ID", "From-Realm", "From-User", "To-Realm", "To-User"),
    ),
    NotificationType(
        "inbound_fax_error",
        "Fax Reception Error",
        "A fax could not be received.",
        "notifications.fax.inbound_error",
        ("Account-ID", "From-Realm", "From-User", "To-Realm", "To-User"),
    ),
    NotificationType(
        "outbound_fax",
        "Successful Fax Transmission",
        "A fax was transmitted completely.",
        "notifications.fax.outbound",
        ("Account-ID", "Callee-ID-Number", "Caller-ID-Number", "Fax-ID", "Fax-JobId"),
    ),
    NotificationType(
        "outbound_fax_error",
        "Fax Transmission Error",
        "A fax could not be transmitted.",
        "notifications.fax.outbound_error",
        ("Fax-ID", "Fax-JobId"),
    ),
    NotificationType(
        "outbound_smtp_fax_error",
        "Invalid Email-to-Fax Email",
        "An e-mail to be faxed was turned down.",
        "notifications.fax.outbound_smtp_error",
        ("Account-ID", "Fax-From-Email", "Errors", "Timestamp"),
        kinds={"Errors": NON_EMPTY_LIST},
    ),
    NotificationType(
        "cnam_request",
        "CNAM Update",
        "A number is to show another name to those it calls (CNAM).",
        "notifications.number.cnam_request",
        ("Account-ID", "Number", "Cnam"),
    ),
    NotificationType(
        "port_cancel",
        "Port Cancel",
        "A port request was withdrawn.",
        "notifications.number.port_cancel",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "port_comment",
        "Port Comment",
        "A port request has a new comment.",
        "notifications.number.port_comment",
        ("Account-ID", "Comment", "Port-Request-ID"),
    ),
    NotificationType(
        "port_pending",
        "Port Pending",
        "A port request was approved and passed on to the carrier.",
        "notifications.number.port_pending",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "port_rejected",
        "Port Rejected",
        "A port request was refused.",
        "notifications.number.port_rejected",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "port_request",
        "Port Request",
        "A port request was submitted.",
        "notifications.number.port_request",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "port_scheduled",
        "Port Scheduled",
        "A port request has a date from the carrier.",
        "notifications.number.port_scheduled",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "port_unconfirmed",
        "Port Unconfirmed",
        "A port request was drafted and awaits its submission.",
        "notifications.number.port_unconfirmed",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "ported",
        "Ported",
        "A number has arrived: its port is complete.",
        "notifications.number.ported",
        ("Account-ID", "Port-Request-ID"),
        kinds={"Reason": OBJECT},
    ),
    NotificationType(
        "denied_emergency_bridge",
        "Emergency Call Failed",
        "An emergency call could not be placed.",
        "notifications.registration.denied_emergency_bridge",
        ("Account-ID", "Call-ID"),
    ),
    NotificationType(
        "emergency_bridge",
        "Emergency Call Placed",
        "An emergency call was placed.",
        "notifications.registration.emergency_bridge",
        ("Account-ID", "Call-ID"),
    ),
    NotificationType(
        "deregister",
        "De-Registration",
        "The registration of a device has expired.",
        "notifications.sip.deregister",
        ("Account-ID", "Realm", "Username"),
    ),
    NotificationType(
        "first_occurrence",
        "Account First Occurrence",
        "A device of the account registered, or called, for the first time ever.",
        "notifications.sip.first_occurrence",
        ("Account-ID", "Occurrence"),
    ),
    NotificationType(
        "missed_call",
        "Missed Call",
        "A call ended unanswered in a callflow that reports missed calls.",
        "notifications.sip.missed_call",
        ("Account-ID", "Call-Bridged", "Call-ID", "Message-Left"),
    ),
    NotificationType(
        "register",
        "Registration",
        "A device has come online: it registered after it was not.",
        "notifications.sip.register",
        ("Account-ID", "Realm", "Username"),
    ),
    NotificationType(
        "system_alert",
        "System Alert",
        "Word for those who run the cluster.",
        "notifications.system.alert",
        ("Message", "Subject"),
        admin_only=True,
    ),
    NotificationType(
        "customer_update",
        "Customer Update",
        "An operator wrote to the customers through the customer-update API.",
        "notifications.user.customer_update",
        ("Account-ID",),
    ),
    NotificationType(
        "new_user",
        "New User",
        "There is a new user.",
        "notifications.user.new",
        ("Account-ID", "User-ID"),
    ),
    NotificationType(
        "password_recovery",
        "Password Recovery",
        "A user wants a link that resets a forgotten password.",
        "notifications.user.password_recovery",
        ("Account-ID", "Email", "Password-Reset-Link"),
    ),
    NotificationType(
        "voicemail_full",
        "Voicemail Box Full",
        "A voicemail box has no room for another message.",
        "notifications.voicemail.full",
        ("Account-ID", "Max-Message-Count", "Message-Count", "Voicemail-Box"),
    ),
    NotificationType(
        "voicemail_new",
        "New Voicemail Message",
        "A caller has left a voicemail message.",
        "notifications.voicemail.new",
        (
            "Account-ID",
            "From-Realm",
            "From-User",
            "To-Realm",
            "To-User",
            "Voicemail-Box",
            "Voicemail-ID",
            "Voicemail-Timestamp",
        ),
    ),
    NotificationType(
        "voicemail_saved",
        "Voicemail Message Saved",
        "A voicemail message was marked as new or stored as such.",
        "notifications.voicemail.saved",
        (
            "Account-ID",
            "From-Realm",
            "From-User",
            "To-Realm",
            "To-User",
            "Voicemail-Box",
            "Voicemail-ID",
            "Voicemail-Timestamp",
        ),
    ),
    NotificationType(
        "voicemail_deleted",
        "Voicemail Message Deleted",
        "A voicemail message was removed.",
        "notifications.voicemail.deleted",
        (
            "Account-ID",
            "From-Realm",
            "From-User",
            "To-Realm",
            "To-User",
            "Reason",
            "Voicemail-Box",
            "Voicemail-ID",
            "Voicemail-Timestamp",
        ),
    ),
    NotificationType(
        "webhook",
        "Callflow Webhook Triggered",
        "A callflow asked for a webhook of its own; the message names the hook and what to send.",
        "notifications.webhook.callflow",
        ("Data", "Hook"),
    ),
    NotificationType(
        "webhook_disabled",
        "Webhook Disabled",
        "A webhook kept failing and was disabled.",
        "notifications.webhook.disabled",
        ("Account-ID", "Hook-ID"),
        admin_only=True,
    ),
    NotificationType(
        "cf_notification",
        "Customer defined notification",
        "A notification that customers define themselves, as in a callflow.",
        "notifications.account.cf_notification",
        ("Account-ID", "Template-ID"),
    ),
    NotificationType(
        "number_feature_manual_action",
        "Number Feature Manual Action Required",
        "A feature of a number was changed, and an operator has to follow up by hand.",
        "notifications.account.number_feature_manual_action",
        ("Account-ID", "Number", "Feature"),
        kinds={"Account-ID": NON_EMPTY_STRING, "Number": NON_EMPTY_STRING, "Feature": OBJECT},
    ),
)

NOTIFICATION_TYPES: Mapping[str, NotificationType] = {type.name: type for type in _ALL}
"""All kinds, by name."""
