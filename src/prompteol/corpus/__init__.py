"""Files of texts in, files of vectors and pictures out: read lazily, checked by line, written whole or not at all."""

from prompteol.corpus.atomic import refuse_overwrite, replace_when_done
from prompteol.corpus.pictures import PICTURES, check_picture, save_picture
from prompteol.corpus.readers import Format, Row, TextSource, chunks
from prompteol.corpus.writers import VectorWriter, vector_writer, writer_format

__all__ = [
    "PICTURES",
    "Format",
    "Row",
    "TextSource",
    "VectorWriter",
    "check_picture",
    "chunks",
    "refuse_overwrite",
    "replace_when_done",
    "save_picture",
    "vector_writer",
    "writer_format",
]
