"""Labelled data of others as sample records: one module a data set, one maker for all."""
