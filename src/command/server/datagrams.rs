//! The thread that answers datagrams: one datagram, one answer.

use super::{Config, Input};
use crate::command::limits::REQUEST_BYTES_MAX;
use crate::command::protocol::{Answer, Request};
use crate::net::datagrams;
use crate::net::stop::Stop;
use crate::net::wait;
use crossbeam_channel::{Receiver, Sender};
use std::net::UdpSocket;

/// Asks for everybody, as a connection does for one. Answers until the server is over.
pub(super) fn serve(
    socket: &UdpSocket,
    shut: &Stop,
    config: &Config,
    inbox: &Sender<Input>,
    answers: &Receiver<Answer>,
) {
    // A longer datagram is cut, and so recognised.
    let mut bytes = [0; REQUEST_BYTES_MAX + 1];
    let mut reply = Vec::new();
    datagrams::receive(socket, shut, &config.trace, &mut bytes, |bytes, addr| {
        let Some(request) = Request::parse_datagram(bytes) else {
            config.trace.event(format_args!("ev=drop addr={addr} why=answer"));
            return Ok(());
        };
        // Where this or the answer fails, the server is stopping, and so is the loop.
        let is_asked = inbox.send(Input::Datagram(addr, request)).is_ok();
        if is_asked && let Some(answer) = wait::recv(answers) {
            reply.clear();
            answer.write(&config.calendar, &mut reply);
            socket.send_to(&reply, addr)?;
        }
        Ok(())
    });
}
