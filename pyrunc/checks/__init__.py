"""What `pyrunc check` finds in a bundle before anything is created, and `pyrunc doctor` on a host (comfortable world).

findings.py says what a finding is and puts all together; names.py looks for misspelt names, host.py and limits.py
compare the config with this machine, in_root.py looks things up in the container's root without entering it.
doctor/survey.py reads what doctor/advice.py judges; doctor/calls.py asks the kernel by calls that change nothing.
"""
