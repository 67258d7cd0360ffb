//! One command a file.
