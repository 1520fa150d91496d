//! Electric vehicles and charging stations over MQTT, and the broker.

pub mod limits;

pub mod protocol;

pub mod broker;
