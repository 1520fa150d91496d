#![doc = include_str!("README.md")]

pub mod limits;

pub mod protocol;
pub mod token;

pub mod state;

pub mod store;

mod arrival;

pub mod discovery;

pub mod server;

pub mod archive;
pub mod sandbox;
pub mod tree;
pub mod work;

pub mod client;

pub mod console;
pub mod example;
pub mod pages;
