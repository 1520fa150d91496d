//! Pages for people: a few files that are compiled in, events out, forms in.
//!
//! HTTP/1.1 as far as a browser on the same machine needs it, one thread a connection, and one
//! request a connection. `GET` gives a file, or the live events (server-sent events, HTML standard,
//! 9.2); `POST` asks for something and says what came of it.
//!
//! | file | holds |
//! |---|---|
//! | [`http`] | bytes to requests, answers to bytes |
//! | [`hub`] | what the pages are told, and who listens |
//! | [`site`] | sockets and threads |

pub mod limits;

pub mod http;

pub mod hub;
pub mod site;
