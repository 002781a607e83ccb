SELECT alter_job(%(job)s, scheduled => %(scheduled)s);
