"""The tables that ingestion writes, the names of their symbols, and what is declared gone of them. The runs that write
them are in `ingestion`.
"""
