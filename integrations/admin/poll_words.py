"""Smartcar's errors in plain words: what is the matter, when it goes on, what to do.

The keys are the pairs of type and code as Smartcar writes them; what is not named goes by what
its outcome means.
"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as lazy

from integrations.clients.errors import Outcome

Words = Mapping[str, str | Promise]

PAIRS: Words = {
    "AUTHENTICATION": lazy("Smartcar refuses us this car alone"),
    "VALIDATION": lazy("Smartcar does not understand our request"),
    "VALIDATION:PARAMETER": lazy("Smartcar does not understand our request"),
    "RESOURCE_NOT_FOUND:PATH": lazy("Smartcar does not know what we ask for"),
    "RESOURCE_NOT_FOUND:VERSION": lazy("Smartcar has ended this version of its API"),
    "RATE_LIMIT:VEHICLE": lazy("Smartcar was asked for this car too often"),
    "RATE_LIMIT:SMARTCAR_API": lazy("Smartcar was asked too often by all of us"),
    "BILLING:VEHICLE_REQUEST_LIMIT": lazy("This month's calls are used up"),
    "BILLING:VEHICLE_LIMIT": lazy("Smartcar's plan has no room for this car"),
    "BILLING:INVALID_PLAN": lazy("Smartcar's plan does not include it"),
    "BILLING:ACCOUNT_SUSPENDED": lazy("Smartcar has suspended our account"),
    "COMPATIBILITY:VEHICLE_NOT_CAPABLE": lazy("The car cannot give it"),
    "COMPATIBILITY:SMARTCAR_NOT_CAPABLE": lazy("Smartcar cannot read it from this car"),
    "COMPATIBILITY:MAKE_NOT_COMPATIBLE": lazy("Smartcar cannot read it from this make"),
    "COMPATIBILITY:PLATFORM_NOT_CAPABLE": lazy("The maker has moved to a new platform"),
    "NOT_IN_V2": lazy("Only Smartcar's newer API gives it"),
    "CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED": lazy(
        "The maker no longer accepts the driver's sign-in"
    ),
    "CONNECTED_SERVICES_ACCOUNT:PERMISSION": lazy("The owner took our access back at the maker"),
    "CONNECTED_SERVICES_ACCOUNT:NO_VEHICLES": lazy("The driver's account at the maker has no car"),
    "CONNECTED_SERVICES_ACCOUNT:VEHICLE_MISSING": lazy(
        "The car is no longer in the driver's account at the maker"
    ),
    "CONNECTED_SERVICES_ACCOUNT:ACCOUNT_ISSUE": lazy(
        "The driver's account at the maker wants attention"
    ),
    "CONNECTED_SERVICES_ACCOUNT:SUBSCRIPTION": lazy(
        "The subscription at the maker has ended or is too small"
    ),
    "CONNECTED_SERVICES_ACCOUNT:VIRTUAL_KEY_REQUIRED": lazy("The car lacks Smartcar's virtual key"),
    "VEHICLE_STATE:ASLEEP": lazy("The car is asleep"),
    "VEHICLE_STATE:UNREACHABLE": lazy("The car has no network"),
    "VEHICLE_STATE:UNKNOWN": lazy("The car cannot be read, for no known reason"),
    "VEHICLE_STATE:LOW_BATTERY": lazy("The car's battery is low"),
    "VEHICLE_STATE:IN_MOTION": lazy("The car is being driven"),
    "VEHICLE_STATE:IGNITION_ON": lazy("The car's ignition is on"),
    "VEHICLE_STATE:VEHICLE_OFFLINE_FOR_SERVICE": lazy("The car is in service mode"),
    "VEHICLE_STATE:REMOTE_ACCESS_DISABLED": lazy("Remote access is switched off in the car"),
    "VEHICLE_STATE:CHARGING_IN_PROGRESS": lazy("The car is charging"),
    "VEHICLE_STATE:CHARGING_PLUG_CONNECTED": lazy("The charging plug is connected"),
    "VEHICLE_STATE:CHARGING_PLUG_NOT_CONNECTED": lazy("The charging plug is not connected"),
    "VEHICLE_STATE:FULLY_CHARGED": lazy("The car is fully charged"),
    "VEHICLE_STATE:NOT_CHARGING": lazy("The car is not charging"),
    "VEHICLE_STATE:CHARGE_FAULT": lazy("Charging the car has failed"),
    "VEHICLE_STATE:DOOR_OPEN": lazy("A door of the car is open"),
    "VEHICLE_STATE:HOOD_OPEN": lazy("The hood of the car is open"),
    "VEHICLE_STATE:TRUNK_OPEN": lazy("The trunk of the car is open"),
    "UPSTREAM:INVALID_DATA": lazy("The maker sent data that cannot be right"),
    "UPSTREAM:KNOWN_ISSUE": lazy("The maker has a problem that Smartcar knows of"),
    "UPSTREAM:NO_RESPONSE": lazy("The maker does not answer Smartcar"),
    "UPSTREAM:UNKNOWN_ISSUE": lazy("The maker has a problem"),
    "UPSTREAM:RATE_LIMIT": lazy("The maker was asked for this car too often"),
    "SERVER:INTERNAL": lazy("Smartcar has a problem of its own"),
    "SERVER:RECORD_NOT_FOUND": lazy("Smartcar has no record of it for this car"),
    "SERVER:MULTIPLE_RECORDS_FOUND": lazy("Smartcar has no clear record of it for this car"),
    "TIMEOUT": lazy("Smartcar did not answer in time"),
    "CONNECTION": lazy("The connection to Smartcar broke"),
    "MALFORMED": lazy("Smartcar's answer could not be read"),
    "MISSING": lazy("The answer was empty"),
    "UNANSWERED": lazy("The answer left it out"),
    "INTERNAL": lazy("The portal stumbled over the answer"),
    "NO_SIGNALS": lazy("Smartcar holds no data of this car yet"),
    "UNAVAILABLE": lazy("Smartcar has no value for it now"),
    "TOKEN_BUSY": lazy("Smartcar gives us no token at the moment"),
    "PERMISSION:UNKNOWN": lazy("The driver has not shared it"),
    "AUTHENTICATION:UNAUTHORIZED": lazy("Smartcar refuses our token"),
    "AUTHENTICATION:ACCESS_DENIED": lazy("Smartcar refuses us this car alone"),
    "VALIDATION:MISSING_PARAMETER": lazy("Smartcar does not understand our request"),
    "VALIDATION:INVALID_INPUT_FORMAT": lazy("Smartcar does not understand our request"),
    "NOTHING_WANTED": lazy("No enabled rule wants anything that this car can give"),
    "invalid_grant": lazy("Smartcar no longer accepts our token"),
    "invalid_client": lazy("Smartcar refuses our credentials"),
}

OUTCOMES: Words = {
    Outcome.RETRY: lazy("Smartcar could not be read"),
    Outcome.WAIT: lazy("Smartcar said to wait with this car"),
    Outcome.WAIT_ALL: lazy("Smartcar said to wait with all cars"),
    Outcome.ASLEEP: lazy("The car does not answer now"),
    Outcome.REFRESH: lazy("Smartcar does not accept our token for this car"),
    Outcome.RECONNECT: lazy("Smartcar no longer has the driver's consent"),
    Outcome.DRIVER: lazy("The maker wants something of the driver"),
    Outcome.NOT_GRANTED: lazy("The driver has not shared what is asked for"),
    Outcome.NOT_CAPABLE: lazy("The car cannot give anything that is asked for"),
    Outcome.QUOTA: lazy("Smartcar's plan allows no more calls"),
    Outcome.STOP: lazy("Smartcar refuses our credentials"),
    Outcome.REJECTED: lazy("Smartcar refuses our request"),
}

# Of the whole answer; PAIRS speaks of one signal ("it").
WHOLE: Words = {
    "BILLING:INVALID_PLAN": lazy("Smartcar's plan does not include what is asked for"),
    **dict.fromkeys(
        (
            "COMPATIBILITY:VEHICLE_NOT_CAPABLE",
            "COMPATIBILITY:SMARTCAR_NOT_CAPABLE",
            "COMPATIBILITY:MAKE_NOT_COMPATIBLE",
        ),
        OUTCOMES[Outcome.NOT_CAPABLE],
    ),
}

LEVELS = {
    Outcome.STOP: "overdue",
    Outcome.RECONNECT: "due",
    Outcome.DRIVER: "due",
    Outcome.QUOTA: "due",
    Outcome.REJECTED: "due",
    Outcome.ASLEEP: "quiet",
}

# `%(when)s` is "at 14:05" or "on 1 April", `%(at)s` the same without the preposition.
UNTIL: Words = {
    Outcome.WAIT: lazy("Waits until %(at)s: Smartcar said so"),
    Outcome.WAIT_ALL: lazy("All cars wait until %(at)s: Smartcar said so"),
    Outcome.STOP: lazy("No car is read; tried again %(when)s"),
    Outcome.QUOTA: lazy("Not read before %(at)s"),
}
AGAIN = lazy("Asked again %(when)s")

NEW_LINK = lazy("The driver must connect again: mail a new portal link.")
_OPERATOR = lazy("Tell whoever runs the portal: it should be updated.")

TODO: Words = {
    Outcome.RECONNECT: NEW_LINK,
    Outcome.DRIVER: lazy("The driver must act in the maker's app."),
    Outcome.NOT_GRANTED: NEW_LINK,
    Outcome.REJECTED: _OPERATOR,
    Outcome.STOP: lazy("Look at the credentials; `manage.py doctor` says more."),
    Outcome.QUOTA: lazy("A larger plan at Smartcar, or rules that want less, would help."),
    Outcome.ASLEEP: lazy("Nothing: the last values stand until it answers."),
    Outcome.RETRY: lazy("Nothing, unless it goes on for days."),
    Outcome.WAIT: lazy("Nothing: it goes on by itself."),
    Outcome.WAIT_ALL: lazy("Nothing: it goes on by itself."),
    "AUTHENTICATION": lazy("If it stays so, the driver must connect again."),
    "BILLING:VEHICLE_LIMIT": lazy("Take a larger plan at Smartcar, or revoke a connection."),
    "BILLING:INVALID_PLAN": lazy("Take a larger plan at Smartcar, or switch the rule off."),
    "BILLING:ACCOUNT_SUSPENDED": lazy("Settle it with Smartcar; then calls go on by themselves."),
    "CONNECTED_SERVICES_ACCOUNT:ACCOUNT_ISSUE": lazy(
        "The driver must act in the maker's app: accept new terms, or finish the activation."
    ),
    "CONNECTED_SERVICES_ACCOUNT:SUBSCRIPTION": lazy(
        "The driver must act in the maker's app: renew or extend the subscription."
    ),
    "CONNECTED_SERVICES_ACCOUNT:VIRTUAL_KEY_REQUIRED": lazy(
        "The driver must act in the maker's app: add Smartcar's virtual key."
    ),
    "CONNECTED_SERVICES_ACCOUNT:VEHICLE_MISSING": lazy(
        "The driver must connect again; if the car was sold, revoke the connection."
    ),
    "VEHICLE_STATE:REMOTE_ACCESS_DISABLED": lazy(
        "The driver must act in the car: allow remote access. It may take a day to work."
    ),
    "VEHICLE_STATE:ASLEEP": lazy(
        "Nothing: the last values stand. Some cars wake only when they are driven."
    ),
    "RESOURCE_NOT_FOUND:VERSION": lazy("Tell whoever runs the portal: SMARTCAR_API_VERSION."),
    "NOTHING_WANTED": lazy("Enable a rule for it, or leave it."),
    "NO_SIGNALS": lazy(
        "Wait some minutes after connecting; then see whether the car is subscribed to the webhook."
    ),
}


def pair_in(text: str) -> str:
    """The pair that a text of ours names; "" when it names none."""
    return next((pair for pair in PAIRS if ":" in pair and pair in text), "")
