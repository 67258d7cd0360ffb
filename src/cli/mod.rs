//! One command a file.

mod parse;
pub mod replay;
pub mod simulate;
