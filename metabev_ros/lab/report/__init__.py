"""The report of a run, from its bag: film, timeline, worst moments; of two runs side by side."""
