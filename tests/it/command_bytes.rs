//! Bytes to requests and back, on the value alone (command spec: Protocol).

use malha::command::calendar::Calendar;
use malha::command::frame::{Framer, Piece};
use malha::command::limits::{REQUEST_BYTES_MAX, SILENCE_MS};
use malha::command::protocol::{Answer, Answers, Codec, Password, Request};
use malha::net::asked::Encode;
use malha::net::clock::Wall;
use malha::net::stream::Decode;
use proptest::prelude::*;

fn codec() -> Codec {
    Codec::new(Calendar::utc())
}

/// What a codec makes of pieces that arrive one after the other.
fn requests<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Request> {
    let mut codec = codec();
    let mut requests = Vec::new();
    for piece in pieces {
        codec.feed(piece);
        requests.extend(std::iter::from_fn(|| codec.next()));
    }
    requests
}

fn parse(text: &str) -> Request {
    Request::parse(Piece::Whole(text.as_bytes()))
}

fn unknown(text: &str) -> Request {
    Request::Unknown(text.as_bytes().into())
}

#[test]
fn case_and_white_space_do_not_matter() {
    for text in ["ECHO", "echo", " Echo\t", "eCHO \u{a0}", "ECHO\0\0\0", "\r ECHO"] {
        assert_eq!(parse(text), Request::Echo, "{text:?}");
    }
    assert_eq!(parse("Time"), Request::Time);
    assert_eq!(parse(" exit "), Request::Exit);
}

#[test]
fn anything_else_is_unknown() {
    for text in ["", "ECHO ECHO", "EC HO", "ECHOO", "TIME?", "olá", "AUTHOR x y"] {
        assert_eq!(parse(text), unknown(text), "{text:?}");
    }
    assert_eq!(Request::parse(Piece::Whole(b"\xff")), Request::Unknown(b"\xff"[..].into()));
}

#[test]
fn auth_has_a_name_and_the_rest_is_the_password() {
    let auth = |name: &str, password: &str| {
        Request::Auth(name.to_owned(), Password::new(password.to_owned()))
    };
    assert_eq!(parse("AUTH ana segredo"), auth("ana", "segredo"));
    assert_eq!(parse("auth\tana   duas palavras "), auth("ana", "duas palavras"));
    for text in ["AUTH", "AUTH ", "auth ana", "AUTH  ana "] {
        assert_eq!(parse(text), Request::HalfAuth, "{text:?}");
    }
}

#[test]
fn a_password_shows_itself_to_nobody() {
    let request = parse("AUTH ana segredo");
    assert!(!format!("{request:?} {request}").contains("segredo"));
}

#[test]
fn requests_of_one_read_come_one_by_one() {
    let told = requests([&b"ECHO\nTIME\r\n\nEXIT\n"[..]]);
    assert_eq!(told, [Request::Echo, Request::Time, unknown(""), Request::Exit]);
}

/// Spec, Protocol: the limit counts the request, not its terminator.
#[test]
fn a_request_may_have_1024_bytes_and_not_one_more() {
    let most = "x".repeat(REQUEST_BYTES_MAX);
    for end in ["\n", "\r\n"] {
        assert_eq!(
            requests([format!("{most}{end}ECHO\n").as_bytes()]),
            [unknown(&most), Request::Echo]
        );
        let told = requests([format!("{most}x{end}ECHO\n").as_bytes()]);
        assert_eq!(told, [Request::TooLong], "with {end:?}");
    }
}

#[test]
fn one_that_is_too_long_is_noticed_before_its_end() {
    let most = "x".repeat(REQUEST_BYTES_MAX);
    assert_eq!(requests([most.as_bytes(), b"\r"]), []);
    assert_eq!(requests([most.as_bytes(), b"\r", b"\n"]), [unknown(&most)]);
    assert_eq!(requests([most.as_bytes(), b"x"]), [Request::TooLong]);
    assert_eq!(requests([most.as_bytes(), b"x", b"\nECHO\n"]), [Request::TooLong]);
}

#[test]
fn silence_ends_a_request_without_terminator() {
    let mut codec = codec();
    codec.feed(b"ECHO");
    assert_eq!(codec.next(), None);
    assert_eq!(codec.patience_ms(), Some(SILENCE_MS));
    codec.silence();
    assert_eq!(codec.next(), Some(Request::Echo));
    assert_eq!((codec.next(), codec.patience_ms()), (None, None));
}

/// Who ends lines must not pay for those who do not: nothing is set, nothing is waited for.
#[test]
fn lines_know_no_silence() {
    let mut codec = codec();
    codec.feed(b"ECHO\nTIME\r\n");
    assert_eq!((codec.next(), codec.next()), (Some(Request::Echo), Some(Request::Time)));
    assert_eq!(codec.patience_ms(), None);
}

#[test]
fn a_terminator_behind_its_silence_is_no_request() {
    for pieces in [&["\n"][..], &["\r\n"], &["\r", "\n"], &["\nTIME\n"], &["\r\nTIME\n"]] {
        let mut codec = codec();
        codec.feed(b"ECHO");
        codec.silence();
        assert_eq!(codec.next(), Some(Request::Echo));
        let mut told = Vec::new();
        for piece in pieces {
            codec.feed(piece.as_bytes());
            told.extend(codec.next());
        }
        let expected = if pieces[0].contains("TIME") { vec![Request::Time] } else { vec![] };
        assert_eq!(told, expected, "{pieces:?}");
        // One terminator belongs to it, not two.
        codec.feed(b"\n");
        assert_eq!(codec.next(), Some(unknown("")), "{pieces:?}");
    }
}

#[test]
fn answers_end_as_requests_end() {
    let answered = |codec: &mut Codec| {
        let mut bytes = Vec::new();
        codec.encode(&Answer::Done, &mut bytes);
        (bytes, codec.joins())
    };
    let mut codec = codec();
    codec.feed(b"EXIT");
    codec.silence();
    codec.next();
    assert_eq!(answered(&mut codec), (b"OK".to_vec(), false));
    codec.feed(b"EXIT\n");
    codec.next();
    assert_eq!(answered(&mut codec), (b"OK\n".to_vec(), true));
}

#[test]
fn the_time_has_microseconds() {
    let mut bytes = Vec::new();
    Answer::Time(Wall(1_795_183_509_000_042)).write(&Calendar::utc(), &mut bytes);
    assert_eq!(String::from_utf8(bytes).unwrap(), "TIME: 2026-11-20 14:05:09.000042");
    assert_eq!(
        Calendar::utc().milli(Wall(1_795_183_509_007_999)).to_string(),
        "2026-11-20 14:05:09,007"
    );
}

#[test]
fn control_characters_are_shown_and_not_done() {
    let shown = |bytes: &[u8]| Request::Unknown(bytes.into()).to_string();
    assert_eq!(shown(b"a\nb\x1b[2Jc"), "a\\nb\\u{1b}[2Jc");
    assert_eq!(shown("é \u{2028}\u{202e}\\n'\"".as_bytes()), "é \\u{2028}\\u{202e}\\\\n'\"");
    assert_eq!(shown(b"\xffx"), "\\xffx");
}

/// Two servers that answer each other's errors would never end.
#[test]
fn an_answer_that_went_astray_is_not_answered() {
    assert_eq!(Request::parse_datagram(Answer::Unknown.text().as_bytes()), None);
    assert_eq!(Request::parse_datagram(b"time\n"), Some(Request::Time));
    let long = vec![b'x'; REQUEST_BYTES_MAX + 1];
    assert_eq!(Request::parse_datagram(&long), Some(Request::TooLong));
}

/// What a client makes of a piece that comes without terminator.
fn heard(pieces: &[&str]) -> Vec<String> {
    let mut answers = Answers::default();
    let mut heard = Vec::new();
    for piece in pieces {
        answers.feed(piece.as_bytes());
        heard.extend(answers.next());
        if answers.patience_ms().is_some() {
            answers.silence();
            heard.extend(answers.next());
        }
    }
    answers.silence();
    heard.extend(answers.next());
    heard
}

/// A client that took half an answer for one would take the rest for the next.
#[test]
fn half_an_answer_is_waited_for() {
    let whole = Answer::Echo.text();
    for at in 1..whole.len() {
        if whole.is_char_boundary(at) {
            assert_eq!(heard(&[&whole[..at], &whole[at..]]), [whole], "cut at {at}");
            assert_eq!(heard(&[&whole[..at]]), [""; 0], "lost at {at}");
        }
    }
    let time = "TIME: 2026-11-20 14:05:09.123456";
    assert_eq!(heard(&[&time[..20], &time[20..]]), [time]);
    assert_eq!(heard(&["OK"]), ["OK"]);
    assert_eq!(heard(&["outra coisa"]), ["outra coisa"]);
    // Who has ended one with a newline will end the next.
    assert_eq!(heard(&["um\nou", "tra coisa\n"]), ["um", "outra coisa"]);
}

fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("ECHO".to_owned()),
        Just(" time".to_owned()),
        Just("AUTH ana segredo".to_owned()),
        Just("x".repeat(REQUEST_BYTES_MAX)),
        "[ -~é\0\r]{0,20}",
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    let line = (word, end).prop_map(|(word, end)| word.trim_end_matches('\r').to_owned() + end);
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

/// `bytes`, cut at some places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(bytes.len());
    let starts = std::iter::once(0).chain(ends.clone());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

proptest! {
    #[test]
    fn lines_cut_anywhere_are_the_same_requests(
        text in any_text(),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let expected: Vec<Request> = text.split_inclusive('\n').map(|line| {
            let line = line.strip_suffix('\n').unwrap();
            parse(line.strip_suffix('\r').unwrap_or(line))
        }).collect();
        prop_assert_eq!(requests([text.as_bytes()]), expected.clone());
        prop_assert_eq!(requests(cut(text.as_bytes(), &places)), expected);
    }

    #[test]
    fn any_bytes_and_silences_are_survived(
        steps in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'E')], 0..5),
                Just(vec![b'x'; 700]),
            ],
            0..12,
        ),
    ) {
        let mut framer = Framer::new(REQUEST_BYTES_MAX);
        for bytes in steps {
            framer.feed(&bytes);
            for silent in [false, true] {
                if silent {
                    framer.silence();
                }
                while let Some(piece) = framer.next_piece() {
                    if let Piece::Whole(bytes) = piece {
                        prop_assert!(bytes.len() <= REQUEST_BYTES_MAX && !bytes.contains(&b'\n'));
                    }
                }
            }
            prop_assert_eq!(framer.patience_ms(), None, "silence leaves nothing behind");
        }
    }

    #[test]
    fn nobody_forges_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let shown = Request::Unknown(bytes.into()).to_string();
        let ends_line = |c: char| c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c);
        let is_forged = shown.chars().any(ends_line);
        prop_assert!(!is_forged, "{}", shown);
    }
}
