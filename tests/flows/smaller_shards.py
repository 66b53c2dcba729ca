"""Loaded into a worker under test (`celery worker --include`): more and smaller pieces to be killed between."""

from margin import calls, shards

shards.LARGEST = 100  # accounts: five hundred make five shards, handed out through the broker
calls.LARGEST_BATCH = 40  # moves: several transactions a shard
