#![doc = include_str!("README.md")]

pub mod limits;

pub mod calendar;
pub mod frame;
pub mod protocol;

pub mod state;

pub mod log;
pub mod server;

pub mod client;

pub mod console;
pub mod stress;
