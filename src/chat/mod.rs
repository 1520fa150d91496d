#![doc = include_str!("README.md")]

pub mod limits;

pub mod protocol;

pub mod session;
pub mod state;

pub mod server;

pub mod client;

pub mod console;
pub mod pages;
