//! Malha: classic network systems on blocking sockets, threads and channels.
//!
//! | module | holds |
//! |---|---|
//! | [`net`] | what every system stands on; knows no system |
//! | [`web`] | pages, for those systems that have some |
//! | [`grid`] | smart-grid servers, linked in pairs, and their clients |
//! | [`command`] | a TCP command server and its client |
//! | [`chat`] | messages over UDP, with pages in the browser |
//! | [`charging`] | electric vehicles and charging stations over MQTT, and the broker |
//! | [`tasks`] | a master that hands out tasks, and peers that run them |
//! | [`cli`] | the command line |

#[cfg(feature = "bench")]
pub mod bench;
pub mod net;
#[cfg(feature = "web")]
pub mod web;

#[cfg(feature = "charging")]
pub mod charging;
#[cfg(feature = "chat")]
pub mod chat;
#[cfg(feature = "command")]
pub mod command;
#[cfg(feature = "grid")]
pub mod grid;
#[cfg(feature = "tasks")]
pub mod tasks;

pub mod cli;
