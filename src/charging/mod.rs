//! Electric vehicles and charging stations over MQTT, and the broker between them.

pub mod limits;

pub mod payload;
pub mod protocol;
pub mod world;

pub mod broker;
pub mod client;
pub mod roles;

pub mod simulate;
