"""Embed any amount of text, from files to a file of vectors."""

from prompteol.corpus.encode_files import EncodedFiles, TextFiles, check_vector_file, encode_files

__all__ = ["EncodedFiles", "TextFiles", "check_vector_file", "encode_files"]
