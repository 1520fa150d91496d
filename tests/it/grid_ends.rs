//! Where one message ends and the next begins (spec: Tolerant input). No socket.

use malha::grid::decode::Decoder;
use malha::grid::keywords::Port;
use malha::grid::protocol::{Message, Terminator};
use malha::net::stream::Decode;

/// What is read of these pieces, with a long silence behind each.
fn read(port: Port, pieces: &[&str]) -> (Vec<String>, Terminator) {
    let mut decoder = Decoder::new(port);
    let mut messages: Vec<Message> = Vec::new();
    for piece in pieces {
        decoder.feed(piece.as_bytes());
        messages.extend(std::iter::from_fn(|| decoder.next()));
        if decoder.patience_ms().is_some() {
            decoder.silence();
            messages.extend(std::iter::from_fn(|| decoder.next()));
        }
    }
    let shown = messages.iter().map(|message| match message {
        Message::Malformed(text) => format!("?{}", text.escape_ascii()),
        message => message.to_string(),
    });
    (shown.collect(), decoder.terminator())
}

#[track_caller]
fn reads(port: Port, pieces: &[&str], expected: &[&str]) {
    assert_eq!(read(port, pieces).0, expected, "read from {pieces:?}");
}

#[test]
fn a_keyword_that_goes_on_is_another_word() {
    reads(Port::Clients, &["REQ_LSX\nREQ_LS\n"], &["?REQ_LSX", "REQ_LS"]);
    reads(Port::Clients, &["REQ_ADDPEER\n"], &["?REQ_ADDPEER"]);
    reads(Port::Clients, &["REQ_LS_\n"], &["?REQ_LS_"]);
    reads(Port::Peers, &["REQ_ESREQ_EP"], &["REQ_ES", "REQ_EP"]);
    reads(Port::Clients, &["REQ_LSREQ_XX"], &["REQ_LS", "?REQ_XX"]);
    reads(Port::Clients, &["REQ_LSREQ_", "XX\0"], &["REQ_LS", "?REQ_XX"]);
}

/// Until then it may go on: `REQ_DC(1` may be the beginning of `REQ_DC(12)`.
#[test]
fn silence_ends_what_nobody_closes() {
    reads(Port::Clients, &["REQ_DC(1"], &["REQ_DC(1)"]);
    reads(Port::Clients, &["HELLO", "REQ_LS\n"], &["?HELLO", "REQ_LS"]);
}

#[test]
fn silence_takes_nothing_from_the_next_message() {
    let expected = ["REQ_DC(1)", "REQ_LS"];
    reads(Port::Clients, &["REQ_DC(1REQ_L", "S\n"], &expected);
    reads(Port::Clients, &["REQ_DC(1REQ_", "LS\n"], &expected);
    reads(Port::Clients, &["REQ_DC(1", "REQ_LS\n"], &expected);
}

#[test]
fn the_beginning_of_a_keyword_waits_however_long() {
    reads(Port::Clients, &["REQ_L", "S\n"], &["REQ_LS"]);
    reads(Port::Clients, &["R", "E", "Q", "_", "M", "N"], &["REQ_MN"]);
}

#[test]
fn blanks_of_all_kinds_are_skipped() {
    reads(Port::Clients, &["\t REQ_LS \t\r\n\t(REQ_LP) \n"], &["REQ_LS", "REQ_LP"]);
}

#[test]
fn a_terminator_of_two_bytes_may_come_in_two_pieces() {
    for (text, terminator) in [("\n\0", Terminator::LfNul), ("\r\n", Terminator::CrLf)] {
        let whole = format!("REQ_LS{text}");
        let (head, tail) = whole.split_at(whole.len() - 1);
        let pieces = [&whole, head, tail, head];
        let (messages, seen) = read(Port::Clients, &pieces);
        assert_eq!((messages.len(), seen), (3, terminator), "after {pieces:?}");
    }
    // Not for ever: another message shows that there was no other half.
    let pieces = ["REQ_LS\n\0", "REQ_LS\n", "REQ_LS"];
    assert_eq!(read(Port::Clients, &pieces).1, Terminator::Lf);
}
