//! Electric vehicles and charging stations, and a broker between them.

pub mod limits;

pub mod payload;
pub mod world;

pub mod roles;

pub mod simulate;
