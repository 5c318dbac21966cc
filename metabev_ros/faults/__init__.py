"""Fault injection: a plan of faults between a stream of messages and whoever hears it.

The faults are PX4's: off, stuck, garbage, wrong, slow, delayed, intermittent. The pipe notes what
it did to every message; that truth, never the status of the node, is what a test compares with.
No ROS here: `metabev inject` uses the pipe on bags, `node/fault_injector.py` on live topics.
"""
