//! Bytes of the tasks: streams of objects cut anywhere, archives as text, names (tasks spec).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use malha::tasks::limits::{HEAD_BYTES_MAX, TASK_NAME_BYTES_MAX};
use malha::tasks::protocol::objects::{Objects, Step};
use malha::tasks::protocol::{Name, Question, SpoolId, text};
use proptest::prelude::*;

const LIMIT: u64 = 1_000_000;

/// What a stream says, piece by piece.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    /// Its fields as JSON, and its archive.
    Whole(String, Option<Result<Vec<u8>, ()>>),
    Flawed(&'static str),
    Broken,
}

fn said<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    said_within(LIMIT, pieces)
}

fn said_within<'a>(limit: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut objects = Objects::new("result_data", limit);
    let (mut all, mut archive) = (Vec::new(), Vec::new());
    for mut piece in pieces {
        while let Some(step) = objects.step(&mut piece) {
            match step {
                Step::Bytes(bytes) => archive.extend_from_slice(bytes),
                Step::Whole(object) => {
                    let archive = std::mem::take(&mut archive);
                    let fields = serde_json::to_string(&object.fields).unwrap();
                    let archive = object.text.map(|good| if good { Ok(archive) } else { Err(()) });
                    all.push(Said::Whole(fields, archive));
                }
                Step::Flawed(why) => {
                    archive.clear();
                    all.push(Said::Flawed(why));
                }
                Step::Broken => all.push(Said::Broken),
            }
        }
        assert!(piece.is_empty(), "bytes were left: {:?}", piece.escape_ascii().to_string());
    }
    all
}

fn whole(fields: &str) -> Said {
    Said::Whole(fields.to_owned(), None)
}

#[test]
fn objects_come_out_however_they_are_cut_or_joined() {
    let archive: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let text = STANDARD.encode(&archive);
    let stream = format!(
        "{{\"action\":\"REGISTER\"}}{{\"a\":[1,{{\"b\":\"}}\\\"{{\"}}]}}\r\n \
         {{\"result_data\":\"{text}\",\"x\":1}}\n{{\"result_data\" : \"\"}}{{}}"
    );
    let expected = [
        whole("{\"action\":\"REGISTER\"}"),
        whole("{\"a\":[1,{\"b\":\"}\\\"{\"}]}"),
        Said::Whole("{\"x\":1}".to_owned(), Some(Ok(archive))),
        Said::Whole("{}".to_owned(), Some(Ok(vec![]))),
        whole("{}"),
    ];
    let bytes = stream.as_bytes();
    assert_eq!(said([bytes]), expected);
    assert_eq!(said(bytes.chunks(1)), expected);
    for at in 0..bytes.len() {
        assert_eq!(said([&bytes[..at], &bytes[at..]]), expected, "cut at {at}");
    }
}

#[test]
fn ten_thousand_messages_in_one_piece() {
    let one = "{\"action\":\"HEARTBEAT\",\"peer_id\":\"p\"}";
    let all = said([one.repeat(10_000).as_bytes()]);
    assert_eq!(all.len(), 10_000);
    assert!(all.iter().all(|said| *said == whole(one)));
}

#[test]
fn an_archive_may_have_lines_and_escapes() {
    let archive: Vec<u8> = (0..=254).collect();
    let plain = STANDARD.encode(&archive);
    let lines: Vec<&str> =
        plain.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect();
    for text in [
        plain.clone(),
        lines.join("\n"),
        lines.join("\\n") + "\\n",
        lines.join("\\r\\n"),
        lines.join(" \t"),
        plain.replace('/', "\\/"),
        plain.replace('+', "\\u002b").replace('/', "\\u002F"),
    ] {
        let stream = format!("{{\"result_data\":\"{text}\"}}");
        let expected = [Said::Whole("{}".to_owned(), Some(Ok(archive.clone())))];
        assert_eq!(said([stream.as_bytes()]), expected, "{text}");
        assert_eq!(said(stream.as_bytes().chunks(1)), expected, "{text}");
        assert_eq!(said(stream.as_bytes().chunks(7)), expected, "{text}");
    }
}

#[test]
fn what_is_no_base64_is_told_from_what_is_no_json() {
    for text in ["A", "AA", "AAA", "A===", "AA==A", "AAA=AAAA", "A*AA", "\u{e9}AAA", "AA\\u00e9A"] {
        let stream = format!("{{\"result_data\":\"{text}\"}}{{}}");
        let expected = [Said::Whole("{}".to_owned(), Some(Err(()))), whole("{}")];
        assert_eq!(said([stream.as_bytes()]), expected, "{text}");
        assert_eq!(said(stream.as_bytes().chunks(1)), expected, "{text}");
    }
    // Not a string, deeper down, or another field: no archive.
    for stream in ["{\"result_data\":null}", "{\"x\":{\"result_data\":\"AAAA\"}}"] {
        assert_eq!(said([stream.as_bytes()]), [whole(stream)]);
    }
    let twice = "{\"result_data\":\"AAAA\",\"result_data\":\"AAAA\"}{}";
    assert_eq!(said([twice.as_bytes()]), [Said::Flawed("the archive is there twice"), whole("{}")]);
}

#[test]
fn what_is_json_and_no_object_is_passed_over() {
    let none = Said::Flawed("not a JSON object");
    let stream = "[1,2]\"text\"3 true,{}";
    let mut expected = vec![none; 4];
    expected.push(Said::Broken);
    assert_eq!(said([stream.as_bytes()]), expected);
    for stream in [
        "GET / HTTP/1.1\r\n",
        "{\"a\"}",
        "{]",
        "}",
        "\u{0}",
        "\u{16}\u{3}\u{1}",
        "{\"a\":1,}",
        "{'a':1}",
    ] {
        let more = format!("{stream} {{}}{{}}");
        assert_eq!(said([more.as_bytes()]), [Said::Broken], "{stream:?}");
    }
    assert_eq!(said([&b"{\"a\":\"\xff\"}"[..]]), [Said::Broken], "not UTF-8");
}

#[test]
fn limits_hold_at_the_number_and_one_past() {
    // A field.
    let field = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(said([field(HEAD_BYTES_MAX).as_bytes()]), [whole(&field(HEAD_BYTES_MAX))]);
    let past = field(HEAD_BYTES_MAX + 1) + "{}";
    assert_eq!(said([past.as_bytes()]), [Said::Flawed("a field is too long"), whole("{}")]);
    // A message.
    let message = "{\"result_data\":\"AAAAAAAA\"}";
    let bytes = message.len() as u64;
    let good = Said::Whole("{}".to_owned(), Some(Ok(vec![0; 6])));
    assert_eq!(said_within(bytes, [message.as_bytes()]), [good]);
    let past = said_within(bytes - 1, [message.as_bytes(), b"{}"]);
    assert_eq!(past, [Said::Flawed("the message is too long"), whole("{}")]);
    // Depth.
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(said([deep(32).as_bytes()]), [Said::Flawed("not a JSON object")]);
    assert_eq!(said([deep(33).as_bytes()]), [Said::Flawed("nested too deeply")]);
    assert_eq!(said([deep(1_000_000).as_bytes()]), [Said::Flawed("nested too deeply")]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["a.zip", "A b.zip", "ç.zip", "a", "-rf", &"x".repeat(TASK_NAME_BYTES_MAX)] {
        assert!(Name::plain(name).is_ok(), "{name:?}");
    }
    for name in [
        "",
        ".",
        "..",
        ".a.zip",
        "../a.zip",
        "a/b.zip",
        "/a.zip",
        "a\\b.zip",
        "C:\\a",
        "a\0.zip",
        "a\n.zip",
        "a..zip",
        "a.zip/",
        "\u{7f}",
        &"x".repeat(TASK_NAME_BYTES_MAX + 1),
    ] {
        assert!(Name::plain(name).is_err(), "{name:?}");
    }
    for (name, word) in [("a.zip", "a.zip"), ("a b=\"c\".zip", "\"a b=\\\"c\\\".zip\"")] {
        assert_eq!(Name::plain(name).unwrap().word(), word);
    }
    let tasks = |name| Name::plain(name).unwrap().tasks().map(|n| n.text().to_owned());
    assert_eq!(tasks("a.zip").collect::<Vec<_>>(), ["a.zip"]);
    assert_eq!(
        tasks("a.zip_result.zip").collect::<Vec<_>>(),
        ["a.zip_result.zip", "a.zip", "a.zip.zip"]
    );
    assert_eq!(tasks("_result.zip").collect::<Vec<_>>(), ["_result.zip"]);
}

/// The questions of a stream, as a connection reads them.
fn asked(stream: &str) -> Vec<Question> {
    let mut objects = Objects::new("result_data", LIMIT);
    let (mut questions, mut bytes) = (Vec::new(), stream.as_bytes());
    while let Some(step) = objects.step(&mut bytes) {
        if let Step::Whole(object) = step {
            let archive = object.text.map(|_| Ok(SpoolId(7)));
            questions.push(Question::of(object, archive));
        }
    }
    questions
}

#[test]
fn what_lacks_something_says_what() {
    for (stream, why) in [
        ("{}", "there is no action"),
        ("{\"action\":7}", "there is no action"),
        ("{\"action\":\"REGISTER\"}", "there is no peer_id"),
        ("{\"action\":\"REGISTER\",\"peer_id\":\"\"}", "there is no peer_id"),
        ("{\"action\":\"REGISTER\",\"peer_id\":1}", "there is no peer_id"),
        ("{\"action\":\"DANCE\",\"peer_id\":\"p\"}", "unknown action"),
        ("{\"action\":\"SUBMIT_RESULT\",\"peer_id\":\"p\"}", "there is no result_data"),
    ] {
        assert_eq!(asked(stream), [Question::Unknown(why.to_owned())], "{stream}");
    }
    let stream = "{\"x\":[{}],\"action\":\"HEARTBEAT\",\"peer_id\":\"p\"}";
    assert_eq!(asked(stream), [Question::Heartbeat("p".into())]);
}

proptest! {
    /// No bytes at all make it panic, loop, or say something else when they are cut elsewhere.
    #[test]
    fn random_bytes_are_survived(
        bytes in proptest::collection::vec(
            prop_oneof![
                any::<u8>(),
                proptest::sample::select(&b"{}[]\":,\\ \nresult_data\"AAAA="[..]),
            ],
            0..400,
        ),
        size in 1_usize..50,
    ) {
        prop_assert_eq!(said([&bytes[..]]), said(bytes.chunks(size)));
    }

    #[test]
    fn archives_survive_the_way(
        archive in proptest::collection::vec(any::<u8>(), 0..5000),
        size in 1_usize..700,
    ) {
        let mut stream = b"{\"result_data\":\"".to_vec();
        for piece in archive.chunks(300) {
            text::encode(piece, &mut stream);
        }
        stream.extend_from_slice(b"\"}");
        let expected = [Said::Whole("{}".to_owned(), Some(Ok(archive)))];
        prop_assert_eq!(said(stream.chunks(size)), expected);
    }
}
