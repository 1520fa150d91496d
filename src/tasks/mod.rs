//! A master that hands out work to peers.

pub mod limits;

pub mod archive;
pub mod sandbox;
pub mod tree;
pub mod work;
