"""The jobs of the emulator that `tests/integration/emulator` starts."""

JOB, CI_JOB, SLOW_JOB, SEQUENCE_JOB, OTHER_JOB = 7, 8, 9, 11, 77
