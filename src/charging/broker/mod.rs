//! The broker: whoever has something to say tells it, and it tells whoever wants to know.

pub mod server;
pub mod state;
