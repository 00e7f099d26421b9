"""What the tests of the benchmarks share."""

# importing the latter takes seconds of each start
CLEAN = ("-p", "no:cacheprovider", "-p", "no:schemathesis")
