//! One test crate, one binary: cargo test --test it.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod browser;
mod chat_bytes;
mod chat_chapter;
mod chat_live;
mod chat_pages;
mod chat_session;
mod chat_state;
mod command_bytes;
mod command_chapter;
mod command_client;
mod command_live;
mod command_log;
mod command_naive;
mod command_server;
mod command_state;
mod command_stress;
mod command_users;
mod command_value;
mod grid_bytes;
mod grid_console;
mod grid_faults;
mod grid_link;
mod grid_live;
mod grid_questions;
mod grid_state;
mod harness;
mod live;
mod net;
mod net_dial;
mod random;
mod tasks_work;
mod tasks_zip;
mod tidy;
mod transcript;
mod value;
