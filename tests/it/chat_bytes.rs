//! Datagrams, byte by byte (chat spec: Datagram).

use malha::chat::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
use malha::chat::protocol::{Flaw, Heard, Kind, Message, decode, head, parts};
use proptest::prelude::*;

/// As a program in the wild makes it: any size, any padding.
fn datagram(kind: u32, numbers: [u32; 3], name: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    numbers.iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    bytes.extend(name);
    bytes.extend(text);
    bytes
}

fn padded(text: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = text.to_vec();
    bytes.resize(size, 0);
    bytes
}

fn message(name: &str, text: &str) -> Message {
    let (name, text) = (name.to_owned(), text.to_owned());
    Message { kind: Kind::Text, origin: 7, destination: 9, name, text }
}

#[test]
fn a_message_of_ours_has_176_bytes_each_at_its_place() {
    let bytes = message("Zé", "olá").encode();
    let mut expected = vec![0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 4];
    expected.extend(padded("Zé".as_bytes(), 20));
    expected.extend(padded("olá".as_bytes(), 140));
    assert_eq!(bytes.to_vec(), expected);
    assert_eq!(bytes.len(), 176);
    assert_eq!(decode(&bytes), Some(Heard::Message(message("Zé", "olá"))));
}

/// The size may count characters, or anything.
#[test]
fn the_size_is_a_hint_only() {
    let name = padded(b"Ana", 20);
    for size in [0, 3, 4, 139, 140, 141, u32::MAX] {
        let text = padded("olá!".as_bytes(), 140);
        let bytes = datagram(2, [7, 9, size], &name, &text);
        assert_eq!(decode(&bytes), Some(Heard::Message(message("Ana", "olá!"))), "{size}");
    }
}

#[test]
fn a_text_need_not_be_padded() {
    let name = padded(b"Ana", 20);
    for text in ["", "a", "olá", &"x".repeat(140)] {
        let bytes = datagram(2, [7, 9, 1], &name, text.as_bytes());
        assert_eq!(decode(&bytes), Some(Heard::Message(message("Ana", text))), "{text:?}");
    }
}

#[test]
fn trailing_nuls_go_and_others_stay() {
    let bytes = datagram(2, [7, 9, 0], &padded(b"A\0B", 20), &padded(b"x\0y\0", 800));
    assert_eq!(decode(&bytes), Some(Heard::Message(message("A\0B", "x\0y"))));
}

#[test]
fn datagrams_have_36_to_1024_bytes() {
    let all = datagram(2, [7, 9, 0], &padded(b"Ana", 20), &[0; 989]);
    for (size, is_one) in [(0, false), (35, false), (36, true), (1024, true), (1025, false)] {
        assert_eq!(decode(&all[..size]).is_some(), is_one, "{size} bytes");
    }
}

#[test]
fn a_text_over_140_bytes_is_told_and_not_cut() {
    let name = padded(b"Ana", 20);
    let long = "á".repeat(70) + "x";
    let flawed = |flaw| Some(Heard::Flawed(7, Kind::Text, flaw));
    assert_eq!(decode(&datagram(2, [7, 9, 0], &name, long.as_bytes())), flawed(Flaw::TooLong));
    let most = "á".repeat(70);
    assert_eq!(
        decode(&datagram(2, [7, 9, 0], &name, most.as_bytes())),
        Some(Heard::Message(message("Ana", &most)))
    );
}

/// A name that is longer than its field is cut by whoever sends it, perhaps within a letter.
#[test]
fn half_a_letter_is_told_and_not_mended() {
    let flawed = Some(Heard::Flawed(7, Kind::Text, Flaw::NotText));
    let cut = padded(&"xxxxxxxxxxxxxxxxxxxé".as_bytes()[..20], 20);
    assert_eq!(decode(&datagram(2, [7, 9, 0], &cut, b"ola")), flawed);
    assert_eq!(decode(&datagram(2, [7, 9, 0], &padded(b"Ana", 20), b"ol\xe1")), flawed);
}

#[test]
fn numbers_are_kinds() {
    let kind = |number: u32| match decode(&datagram(number, [1, 0, 0], &[0; 20], b"")) {
        Some(Heard::Message(message)) => message.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(0), Kind::Hello);
    assert_eq!(kind(1), Kind::Bye);
    assert_eq!(kind(2), Kind::Text);
    assert_eq!(kind(3), Kind::Error);
    assert_eq!(kind(4), Kind::List);
    assert_eq!(kind(5), Kind::Unknown(5));
    assert_eq!(kind(u32::MAX), Kind::Unknown(u32::MAX));
}

#[test]
fn a_long_text_is_parted_at_a_space_if_there_is_one() {
    let text = format!("{} {}", "a".repeat(100), "b".repeat(100));
    let all: Vec<&str> = parts(&text).collect();
    assert_eq!(all, [format!("{} ", "a".repeat(100)), "b".repeat(100)]);
    assert_eq!(parts("").count(), 0);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        number in 0..6_u32, origin: u32, destination: u32,
        name in "[a-zA-Zé ]{0,8}[a-z]", text in "([ -~áçé€😀]{0,30}[a-z])?",
    ) {
        let (numbers, padded) = ([origin, destination, 0], padded(name.as_bytes(), 20));
        let bytes = datagram(number, numbers, &padded, text.as_bytes());
        let Some(Heard::Message(message)) = decode(&bytes) else { panic!("not decoded") };
        prop_assert_eq!((&message.name, &message.text), (&name, &text));
        prop_assert_eq!(decode(&message.encode()), Some(Heard::Message(message)));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
        if let Some(Heard::Message(message)) = decode(&bytes) {
            prop_assert!(message.name.len() <= NAME_BYTES_MAX);
            prop_assert!(message.text.len() <= TEXT_BYTES_MAX);
            prop_assert_eq!(decode(&message.encode()), Some(Heard::Message(message)));
        }
    }

    #[test]
    fn parts_lose_nothing_and_cut_no_letter(text in "[a-zé€😀 ]{0,400}") {
        let all: Vec<&str> = parts(&text).collect();
        prop_assert_eq!(all.concat(), text.clone());
        prop_assert!(all.iter().all(|part| !part.is_empty() && part.len() <= TEXT_BYTES_MAX));
    }

    #[test]
    fn a_head_is_as_long_as_whole_letters_allow(text in "[é€😀a]{0,50}", max in 0..30_usize) {
        let cut = head(&text, max);
        prop_assert!(text.starts_with(cut) && cut.len() <= max);
        let next = text[cut.len()..].chars().next();
        prop_assert!(next.is_none_or(|c| cut.len() + c.len_utf8() > max));
    }
}
