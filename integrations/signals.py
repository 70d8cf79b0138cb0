"""What others may listen to. `maintenance` does; nothing here knows who listens.

readings_recorded: sent inside the ingest transaction when something new was stored, with
    vehicle (Vehicle), codes (set of signal codes), signals (every Signal of the vehicle, as it
    stands now), now.
connection_changed: sent after a connection's status changed, with connection, now.
"""

from django.dispatch import Signal

readings_recorded = Signal()
connection_changed = Signal()
