"""`reelwright backup` and `reelwright restore`.

A backup is a folder: `objects/<aa>/<sha256>` holds every file once, under the hash of its bytes,
and `snapshots/<UTC time>.json` says what the studio consisted of at that time. A snapshot is
written last, so it is complete, and a backup that was killed goes on with what it has.

The order in which a backup reads makes it consistent while runs go on, without stopping any:

1. The calendar's marks. A mark says that everything before it was started. If a restored mark were
   newer than the restored runs, an occurrence between the two would never be made. An older mark
   only asks for the same runs again, with the same idempotency keys, and gets those that are there.
2. The gateway's database. It remembers deliveries and events; an older memory makes the gateway
   ask again, under the same key, where a newer one would believe in runs that are not there.
3. Prefect's database, in one transaction.
4. The rest of the bucket. What the databases call finished was in the bucket before they said so;
   so it is in the snapshot, unless it was deleted in the meantime.
5. Every manifest of the snapshot is held against it: what was replaced meanwhile is read again, a
   video that was deleted meanwhile is left out whole, and what a manifest names and the store does
   not have is reported as damage.
"""
