#![doc = include_str!("README.md")]

pub mod limits;

pub mod payload;
pub mod protocol;
pub mod world;

pub mod broker;
pub mod client;
pub mod roles;

pub mod pages;
pub mod simulate;
