"""Encodes a file of texts to one Parquet file.

Each distinct text is encoded once. Finished work is saved shard by shard, so that a killed job can resume.
"""
