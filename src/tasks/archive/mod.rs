//! ZIP archives: foreign ones in, ours out. Neither is ever in memory as a whole.

mod names;
mod read;
mod write;

pub use names::flaw;
pub use read::{Trouble, unpack};
pub use write::Writer;
