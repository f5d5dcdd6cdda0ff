"""Read files of texts, write files of vectors, and publish each file whole or not at all."""

from prompteol.files.atomic import atomic_write, refuse_overwrite, write_text
from prompteol.files.readers import Format, TextRow, TextSource, chunks
from prompteol.files.text_files import TextFiles, check_vector_file
from prompteol.files.vector_writers import VectorWriter, vector_writer, writer_format

__all__ = [
    "Format", "TextFiles", "TextRow", "TextSource", "VectorWriter", "atomic_write", "check_vector_file", "chunks",
    "refuse_overwrite", "vector_writer", "write_text", "writer_format",
]  # fmt: skip
