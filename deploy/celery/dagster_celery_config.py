"""Settings of the Celery workers. `dagster_celery.app` imports this module by its name, from PYTHONPATH."""

import os

broker_url = os.environ["TICKS_CELERY_BROKER"]
result_backend = os.environ["TICKS_CELERY_BACKEND"]

# Run monitoring asks for the state of a run's task. By default it expires after a day: a feed that has streamed for so
# long would then be declared failed.
result_expires = None

# A worker takes no run that it cannot execute at once. A multiplier of 1 alone would reserve one more run per slot: a
# feed that waits behind one that never ends, while another worker has nothing to do. Of Redis only.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True

# A process a run: it imports the present code, and leaves no memory behind.
worker_max_tasks_per_child = 1

# A worker outlives a run that ends while the broker is away.
worker_pool = "celery_pool:TaskPool"

# A broker that is away for long must end no worker: the feeds that it executes go on meanwhile.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

# What else takes long to import, once for all runs: one that replaces a lost one starts sooner. Not the platform, of
# which each run imports the present code.
imports = ("dagster_postgres", "psycopg2", "numpy")
