//! What every system stands on: sockets, threads, channels, the clock, the terminal.
//!
//! It knows no system. Everything that a system decides is decided in its `state.rs`, by a value
//! that cannot block.

pub mod clock;
pub mod counters;
pub mod dice;
pub mod failure;
pub mod limits;
pub mod stop;
pub mod threads;
pub mod trace;

pub mod stream;
pub mod wait;

pub mod accept;
pub mod asked;
pub mod caller;
pub mod datagrams;
pub mod dial;
pub mod pushed;

pub mod capacity;
pub mod lines;
#[cfg(feature = "figures")]
pub mod progress;
pub mod screen;
#[cfg(feature = "users")]
pub mod users;
