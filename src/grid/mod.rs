#![doc = include_str!("README.md")]

pub mod limits;

pub mod decode;
pub mod keywords;
pub mod protocol;
pub mod sensors;

pub mod state;

pub mod server;

pub mod client;

pub mod console;
pub mod pair;
