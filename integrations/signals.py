"""What others may listen to. `maintenance` does; nothing here knows who listens.

readings_recorded: sent inside the ingest transaction when something new was stored, with
    vehicle (Vehicle), codes (set of signal codes that have a newer state, or an older one when a
    reading was taken back), late (set of those whose past is another one than before: a reading
    came late, was corrected, or was judged anew), risen (those of codes whose number is higher than
    before), signals (every Signal that the vehicle ever
    gave, as it stands now), now.
connection_changed: sent in the transaction that changed a connection's status, with connection,
    user (who did it in the admin, or None), now.
provider_refused: sent when a provider begins to refuse our credentials or account, once until it
    accepts them again, with name, reason, now.
"""

from django.dispatch import Signal

readings_recorded = Signal()
connection_changed = Signal()
provider_refused = Signal()
