//! Bytes to messages and back, whatever the other program's habits (spec: Messages). No socket.

use malha::grid::decode::Decoder;
use malha::grid::keywords::Port;
use malha::grid::limits::{MESSAGE_BYTES_MAX, SILENCE_MS, UNCLOSED_MS};
use malha::grid::protocol::{Message, Power, Query, Reading, Refusal, Scope, Terminator};
use malha::net::stream::Decode;
use proptest::prelude::*;

/// Feeds the pieces, and in the end is silent.
fn read(port: Port, pieces: &[&[u8]]) -> (Vec<Message>, Terminator) {
    let mut decoder = Decoder::new(port);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        messages.extend(std::iter::from_fn(|| decoder.next()));
    }
    decoder.silence();
    messages.extend(std::iter::from_fn(|| decoder.next()));
    (messages, decoder.terminator())
}

/// What a stream is read as, message by message in canonical form.
#[track_caller]
fn reads(port: Port, text: &str, expected: &[&str]) {
    let (messages, _) = read(port, &[text.as_bytes()]);
    let shown: Vec<String> = messages.iter().map(Message::to_string).collect();
    assert_eq!(shown, expected, "read from {text:?}");
    let is_bad = |message: &Message| matches!(message, Message::Malformed(_));
    assert!(!messages.iter().any(is_bad), "{text:?} is said to be malformed: {messages:?}");
}

/// The same messages are read however the stream is cut.
#[track_caller]
fn cut_anywhere(port: Port, text: &str) {
    let bytes = text.as_bytes();
    let whole = read(port, &[bytes]).0;
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(read(port, &[head, tail]).0, whole, "cut at {at}: {head:?} {tail:?}");
    }
    let singles: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(port, &singles).0, whole, "byte by byte: {text:?}");
}

const CLIENT_DIALECTS: [(&str, &[&str]); 16] = [
    ("REQ_ADD\n", &["REQ_ADD"]),
    ("REQ_ADD\r\n", &["REQ_ADD"]),
    ("REQ_ADD\0", &["REQ_ADD"]),
    ("REQ_ADD\n\0", &["REQ_ADD"]),
    ("REQ_ADD", &["REQ_ADD"]),
    ("REQ_ADD()\n", &["REQ_ADD"]),
    ("REQ_ADD()", &["REQ_ADD"]),
    ("REQ_ES(\n", &["REQ_ES"]),
    ("REQ_ES(", &["REQ_ES"]),
    ("REQ_DC(6)", &["REQ_DC(6)"]),
    ("REQ_DC(06)\0", &["REQ_DC(6)"]),
    ("REQ_DC 6\n", &["REQ_DC(6)"]),
    ("REQ_DC(6\n", &["REQ_DC(6)"]),
    ("REQ_ADD01REQ_LS", &["REQ_ADD", "REQ_LS"]),
    (
        "REQ_LSREQ_LP()REQ_ESREQ_EP(REQ_MSREQ_MN",
        &["REQ_LS", "REQ_LP", "REQ_ES", "REQ_EP", "REQ_MS", "REQ_MN"],
    ),
    (
        " \r\n\0)) REQ_DC(1)REQ_DC(2)\nREQ_DC(3REQ_LS\n",
        &["REQ_DC(1)", "REQ_DC(2)", "REQ_DC(3)", "REQ_LS"],
    ),
];

const PEER_DIALECTS: [(&str, &[&str]); 11] = [
    ("REQ_ADDPEER", &["REQ_ADDPEER"]),
    ("REQ_ADDPEER()\n", &["REQ_ADDPEER"]),
    ("RES_ADDPEER(66)\0", &["RES_ADDPEER(66)"]),
    ("RES_ADD(66)", &["RES_ADDPEER(66)"]),
    ("RES_ADDPEER(01\n", &["RES_ADDPEER(1)"]),
    ("REQ_DCPEER(2)OK(01)", &["REQ_DCPEER(2)", "OK(01)"]),
    ("OK(01)\0ERROR(02)\n\0ERROR(3)\n", &["OK(01)", "ERROR(02)", "ERROR(03)"]),
    (
        "RES_ES(external 2 sensor 0: 1 (2 50)\nRES_EP(external 2 potency: 7\n",
        &["RES_ES(external 2 sensor 0: 1 (2 50))", "RES_EP(external 2 potency: 7)"],
    ),
    (
        "RES_ES(external 2 sensor 0: 1 (2 50)RES_EP(external 2 potency: 7)",
        &["RES_ES(external 2 sensor 0: 1 (2 50))", "RES_EP(external 2 potency: 7)"],
    ),
    ("RES_ES(2 0 1 2 50)\n", &["RES_ES(external 2 sensor 0: 1 (2 50))"]),
    ("REQ_ESREQ_EPREQ_MSREQ_MN\0", &["REQ_ES", "REQ_EP", "REQ_MS", "REQ_MN"]),
];

const ANSWER_DIALECTS: [(&str, &[&str]); 4] = [
    ("RES_ADD(01)\n", &["RES_ADD(1)"]),
    ("ERROR(01)", &["ERROR(01)"]),
    (
        "RES_LS(local 1 sensor 7: 1290 (1317 98))RES_LP(local 1 potency: 9)\n",
        &["RES_LS(local 1 sensor 7: 1290 (1317 98))", "RES_LP(local 1 potency: 9)"],
    ),
    (
        "RES_MS(global 1 sensor 7: 1 (2 50))\0RES_MN(global 2 potency: 3)\0",
        &["RES_MS(global 1 sensor 7: 1 (2 50))", "RES_MN(global 2 potency: 3)"],
    ),
];

fn dialects() -> impl Iterator<Item = (Port, &'static str, &'static [&'static str])> {
    let on = |port| move |(text, expected)| (port, text, expected);
    let clients = CLIENT_DIALECTS.into_iter().map(on(Port::Clients));
    let peers = PEER_DIALECTS.into_iter().map(on(Port::Peers));
    clients.chain(peers).chain(ANSWER_DIALECTS.into_iter().map(on(Port::Answers)))
}

#[test]
fn every_dialect_is_read() {
    for (port, text, expected) in dialects() {
        reads(port, text, expected);
    }
}

#[test]
fn cutting_changes_nothing() {
    for (port, text, _) in dialects() {
        cut_anywhere(port, text);
        // Also where a terminator has been seen, and where something else follows.
        cut_anywhere(port, &format!("OK(01)\n{text}\nHELLO\n{text}\0"));
    }
}

#[test]
fn joining_changes_nothing() {
    for (port, text, expected) in dialects() {
        let twice = [expected, expected].concat();
        reads(port, &format!("{text}\n{text}"), &twice);
    }
}

#[test]
fn the_last_terminator_seen_counts() {
    for (text, terminator) in [
        ("REQ_ADD", Terminator::Nothing),
        ("REQ_ADD\n", Terminator::Lf),
        ("REQ_ADD\r\n", Terminator::CrLf),
        ("REQ_ADD\0", Terminator::Nul),
        ("REQ_ADD\n\0", Terminator::LfNul),
        ("REQ_ADDREQ_LS", Terminator::Nothing),
        ("REQ_ADD\nREQ_LS\0", Terminator::Nul),
        ("REQ_ADD\0REQ_LS\r\nREQ_LS", Terminator::CrLf),
        ("HELLO\r\n", Terminator::CrLf),
    ] {
        let singles: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(read(Port::Clients, &[text.as_bytes()]).1, terminator, "{text:?}");
        assert_eq!(read(Port::Clients, &singles).1, terminator, "byte by byte: {text:?}");
    }
}

#[test]
fn an_unknown_message_is_ended_by_its_terminator_or_by_silence() {
    let malformed = |text: &str| Message::Malformed(Box::from(text.as_bytes()));
    let mut decoder = Decoder::new(Port::Clients);
    decoder.feed(b"HEL");
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, Some(SILENCE_MS)));
    decoder.feed(b"LO");
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, Some(SILENCE_MS)));
    decoder.silence();
    assert_eq!(decoder.next(), Some(malformed("HELLO")));
    decoder.feed(b"HELLO AGAIN\nREQ_LS");
    assert_eq!(decoder.next(), Some(malformed("HELLO AGAIN")));
    assert_eq!(decoder.next(), Some(Message::Req(Query::Sensor(Scope::Local))));
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, None));
}

#[test]
fn silence_ends_what_is_not_closed_and_the_beginning_of_a_word_may_take_its_time() {
    let mut decoder = Decoder::new(Port::Clients);
    decoder.feed(b"REQ_ADD");
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, Some(SILENCE_MS)));
    decoder.silence();
    assert_eq!(decoder.next(), Some(Message::ReqAdd));
    decoder.feed(b"REQ_");
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, None));
    decoder.feed(b"DC(1");
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, Some(UNCLOSED_MS)));
    decoder.feed(b"2");
    assert_eq!((decoder.next(), decoder.patience_ms()), (None, Some(UNCLOSED_MS)));
    decoder.silence();
    assert_eq!(decoder.next(), Some(Message::ReqDc(12)));
}

#[test]
fn bad_payloads_are_malformed() {
    for text in [
        "REQ_DC()",
        "REQ_DC(x)",
        "REQ_DC(-1)",
        "REQ_DC(1 2)",
        "REQ_DC(1 2 3 4 5 6)",
        "REQ_DC(4294967296)",
        "REQ_DC",
        "HELLO",
        "req_add",
        "RES_ADD(1)",
        "OK(01)",
    ] {
        let text = format!("{text}\nREQ_LS\n");
        let (messages, _) = read(Port::Clients, &[text.as_bytes()]);
        let is_right = matches!(messages[..], [Message::Malformed(_), Message::Req(_)]);
        assert!(is_right, "{text:?} was read as {messages:?}");
    }
    for text in ["OK(02)", "ERROR(00)", "ERROR(06)", "RES_EP(2 1 2 3 4 5 6)", "REQ_LS"] {
        let text = format!("{text}\nREQ_ES\n");
        let (messages, _) = read(Port::Peers, &[text.as_bytes()]);
        let is_right = matches!(messages[..], [Message::Malformed(_), Message::Req(_)]);
        assert!(is_right, "{text:?} was read as {messages:?}");
    }
}

/// `REQ_DC(0…01)` of so many bytes.
fn padded(size: usize) -> String {
    let zeros = size - "REQ_DC(1)".len();
    format!("REQ_DC({}1)", "0".repeat(zeros))
}

#[test]
fn a_message_may_have_500_bytes_with_its_terminator_and_not_one_more() {
    let next = Message::Req(Query::Sensor(Scope::Local));
    for (size, is_good) in [(499, true), (500, false), (501, false), (900, false)] {
        let text = format!("REQ_LS\n{}\nREQ_LS\n", padded(size));
        let (messages, _) = read(Port::Clients, &[text.as_bytes()]);
        assert_eq!(messages.len(), 3, "{size} bytes: {messages:?}");
        assert_eq!(messages[1] == Message::ReqDc(1), is_good, "{size} bytes: {messages:?}");
        assert_eq!(messages[2], next, "{size} bytes");
        cut_anywhere(Port::Clients, &text);
    }
    for size in [498, 499, 500, 501, 1_500] {
        let text = format!("REQ_LS\n{}\nREQ_LS\n", "x".repeat(size));
        let (messages, _) = read(Port::Clients, &[text.as_bytes()]);
        let Message::Malformed(bytes) = &messages[1] else { panic!("{messages:?}") };
        assert_eq!(bytes.len(), size.min(MESSAGE_BYTES_MAX));
        assert_eq!((messages.len(), &messages[2]), (3, &next), "{size} bytes are told once");
        cut_anywhere(Port::Clients, &text);
    }
}

#[test]
fn a_terminator_with_the_limit_between_its_two_bytes_is_seen() {
    let text = format!("REQ_LS\n{}\r\n", padded(499));
    let (head, tail) = text.as_bytes().split_at(text.len() - 1);
    assert_eq!(read(Port::Clients, &[head, tail]).1, Terminator::CrLf);
}

/// The words on the wire; a change here is a change of the protocol.
#[test]
fn words_are_frozen() {
    let reading = Reading { network: 1, sensor: 7, useful: 1290, power: 1317, efficiency: 98 };
    let power = Power { network: 2, useful: 4_294_967_295 };
    let mut all = vec![
        Message::ReqAddPeer,
        Message::ResAddPeer(2),
        Message::ReqDcPeer(2),
        Message::ReqAdd,
        Message::ResAdd(10),
        Message::ReqDc(10),
        Message::ResPeerSensor(reading),
        Message::ResPeerPower(power),
        Message::Done,
    ];
    all.extend(Refusal::ALL.map(Message::Error));
    for scope in [Scope::Local, Scope::External, Scope::Global] {
        all.push(Message::Req(Query::Sensor(scope)));
        all.push(Message::Req(Query::Power(scope)));
        all.push(Message::ResSensor(scope, reading));
        all.push(Message::ResPower(scope, power));
    }
    let text: Vec<String> = all.iter().map(Message::to_string).collect();
    let frozen = "REQ_ADDPEER|RES_ADDPEER(2)|REQ_DCPEER(2)|REQ_ADD|RES_ADD(10)|REQ_DC(10)|\
                  RES_MS(1 7 1290 1317 98)|RES_MN(2 4294967295)|OK(01)|\
                  ERROR(01)|ERROR(02)|ERROR(03)|ERROR(04)|ERROR(05)|\
                  REQ_LS|REQ_LP|RES_LS(local 1 sensor 7: 1290 (1317 98))|\
                  RES_LP(local 2 potency: 4294967295)|\
                  REQ_ES|REQ_EP|RES_ES(external 1 sensor 7: 1290 (1317 98))|\
                  RES_EP(external 2 potency: 4294967295)|\
                  REQ_MS|REQ_MN|RES_MS(global 1 sensor 7: 1290 (1317 98))|\
                  RES_MN(global 2 potency: 4294967295)";
    assert_eq!(text.join("|"), frozen);
}

#[test]
fn what_a_person_reads_is_frozen() {
    let texts = Refusal::ALL.map(|refusal| Message::Error(refusal).payload()).join("|");
    assert_eq!(
        texts,
        "Client limit exceeded|Peer limit exceeded|Peer not found|Client not found|\
         Malformed message"
    );
    assert_eq!(Message::Done.payload(), "Successful disconnect");
    let reading = Reading { network: 1, sensor: 7, useful: 1290, power: 1317, efficiency: 98 };
    let shown = Message::ResSensor(Scope::Local, reading).payload();
    assert_eq!(shown, "local 1 sensor 7: 1290 (1317 98)");
    let power = Power { network: 0, useful: 12 };
    assert_eq!(Message::ResPower(Scope::Global, power).payload(), "global 0 potency: 12");
}

fn any_port() -> impl Strategy<Value = Port> {
    prop_oneof![Just(Port::Clients), Just(Port::Peers), Just(Port::Answers)]
}

/// Bytes that nearly are messages, and some that are not.
fn any_piece() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "REQ_",
        "RES_",
        "ADD",
        "PEER",
        "REQ_DC",
        "REQ_LS",
        "OK",
        "ERROR(",
        "(",
        ")",
        "0",
        "42",
        "99999999999",
        " ",
        "\n",
        "\r",
        "\0",
        "external ",
        "sensor",
        ":",
        "x",
        "REQ_ES",
    ]);
    let words = prop::collection::vec(words, 0..20).prop_map(|words| words.concat().into_bytes());
    prop_oneof![4 => words, 1 => prop::collection::vec(any::<u8>(), 0..700)]
}

/// A message as some program may write it, which ends without the help of silence.
fn any_message() -> impl Strategy<Value = (String, Message)> {
    let end = prop::sample::select(vec!["", "\n", "\r\n", "\0", "\n\0", ")\n"]);
    let must_end = prop::sample::select(vec!["\n", "\r\n", "\0", "\n\0"]);
    let query = prop::sample::select(vec![
        ("REQ_ADD", Message::ReqAdd),
        ("REQ_LS", Message::Req(Query::Sensor(Scope::Local))),
        ("REQ_EP", Message::Req(Query::Power(Scope::External))),
        ("REQ_MN", Message::Req(Query::Power(Scope::Global))),
    ]);
    let tail = prop::sample::select(vec!["", "()", "(", " "]);
    let bare = (query, tail, end.clone())
        .prop_map(|((word, message), tail, end)| (format!("{word}{tail}{end}"), message));
    let closed = (any::<u32>(), 0..4usize, end).prop_map(|(id, zeros, end)| {
        (format!("REQ_DC({}{id}){end}", "0".repeat(zeros)), Message::ReqDc(id))
    });
    let heads = prop::sample::select(vec!["REQ_DC(", "REQ_DC "]);
    let open = (heads, any::<u32>(), must_end)
        .prop_map(|(head, id, end)| (format!("{head}{id}{end}"), Message::ReqDc(id)));
    prop_oneof![bare, closed, open]
}

proptest! {
    // A failure prints what repeats it; files of old failures are not kept.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A byte held is shown by `Debug` with at most five characters.
    #[test]
    fn random_bytes_never_panic_and_are_not_hoarded(
        port in any_port(),
        pieces in prop::collection::vec((any_piece(), any::<bool>()), 0..40),
    ) {
        let mut decoder = Decoder::new(port);
        for (piece, is_silent) in pieces {
            decoder.feed(&piece);
            if is_silent {
                decoder.silence();
            }
            let mut count = 0;
            while let Some(message) = decoder.next() {
                count += 1;
                if let Message::Malformed(bytes) = message {
                    prop_assert!(bytes.len() <= MESSAGE_BYTES_MAX && !bytes.is_empty());
                }
            }
            prop_assert!(count <= piece.len() + 1, "{} messages in {} bytes", count, piece.len());
            let held = format!("{decoder:?}").len();
            prop_assert!(held <= 3 * 5 * MESSAGE_BYTES_MAX + 1_000, "{} characters", held);
        }
    }

    #[test]
    fn any_conversation_is_read_back_however_it_is_cut(
        said in prop::collection::vec(any_message(), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (texts, messages): (Vec<String>, Vec<Message>) = said.into_iter().unzip();
        let text = texts.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> =
            at.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(Port::Clients, &pieces).0, messages, "{:?}", pieces);
    }
}
