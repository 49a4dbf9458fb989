"""What speaks to the hospital: receiver, worker, results, sender and the command line."""
