//! The chat client's rules, on the value alone (chat spec: Client).

use malha::chat::console::{self, Typed};
use malha::chat::limits::{ALIVE_MS, DONE_MS_MAX, JOIN_MS, JOIN_TRIES_MAX, RATE_MAX, SAY_MS};
use malha::chat::protocol::{EVERYBODY, Heard, Id, Kind, Message};
use malha::chat::session::{Effect, Ending, Event, Identity, Line, Session, Voice};
use malha::net::clock::Millis;
use malha::net::limits::LINE_BYTES_MAX;

fn session() -> Session {
    Session::new(Identity { id: 7, name: "Ana".to_owned() })
}

fn heard(kind: Kind, origin: Id, destination: Id, text: &str) -> Event {
    let (name, text) = ("Bia".to_owned(), text.to_owned());
    Event::Heard(Some(Heard::Message(Message { kind, origin, destination, name, text })))
}

fn joined() -> Session {
    let mut session = session();
    session.handle(Millis(0), Event::Started);
    session.handle(Millis(0), heard(Kind::Hello, 0, 7, "Conexão aceita."));
    session
}

fn sent(effects: &[Effect]) -> Vec<(Kind, Id, &str)> {
    let mut sent = Vec::new();
    for effect in effects {
        if let Effect::Send(message) = effect {
            sent.push((message.kind, message.destination, message.text.as_str()));
        }
    }
    sent
}

fn shown(effects: &[Effect]) -> Vec<String> {
    let line = |effect: &Effect| match effect {
        Effect::Show(line) => console::show(line),
        _ => None,
    };
    effects.iter().filter_map(line).collect()
}

#[test]
fn oi_is_said_five_times_and_then_it_ends() {
    let mut session = session();
    assert_eq!(sent(&session.handle(Millis(0), Event::Started)), [(Kind::Hello, 0, "")]);
    for attempt in 1..JOIN_TRIES_MAX {
        let due = session.deadline();
        assert_eq!(due, Millis(JOIN_MS * u64::from(attempt)));
        assert_eq!(session.handle(Millis(due.0 - 1), Event::Tick), []);
        assert_eq!(sent(&session.handle(due, Event::Tick)), [(Kind::Hello, 0, "")]);
    }
    let due = session.deadline();
    // The server may have heard us all the same, and would keep the id for ever.
    let effects = session.handle(due, Event::Tick);
    assert_eq!(sent(&effects), [(Kind::Bye, 0, "")]);
    assert_eq!(effects.last(), Some(&Effect::End(Ending::NoAnswer)));
}

#[test]
fn an_answer_to_the_last_oi_is_in_time() {
    let mut session = session();
    session.handle(Millis(0), Event::Started);
    for _ in 1..JOIN_TRIES_MAX {
        session.handle(session.deadline(), Event::Tick);
    }
    let now = session.deadline();
    let effects = session.handle(now, heard(Kind::Hello, 0, 7, "Conexão aceita."));
    assert_eq!(effects[0], Effect::Joined);
    assert_eq!(shown(&effects), ["[Servidor] Conexão aceita."]);
}

#[test]
fn a_refusal_ends_it_with_the_servers_words() {
    let mut session = session();
    session.handle(Millis(0), Event::Started);
    let effects = session.handle(Millis(1), heard(Kind::Error, 0, 7, "ID já em uso."));
    assert_eq!(effects, [Effect::End(Ending::Refused("ID já em uso.".to_owned()))]);
}

#[test]
fn signs_of_life_come_every_20_s() {
    let mut session = joined();
    assert_eq!(session.deadline(), Millis(ALIVE_MS));
    for round in 1..10 {
        let now = Millis(ALIVE_MS * round);
        let effects = session.handle(now, Event::Tick);
        assert_eq!(sent(&effects), [(Kind::Hello, 0, "")]);
        assert_eq!(shown(&effects), [""; 0], "all is well");
        let answer = session.handle(now, heard(Kind::Hello, 0, 7, "Conexão aceita."));
        assert_eq!(answer, [], "told once is enough");
    }
}

#[test]
fn a_server_that_answers_no_signs_is_told_once() {
    let mut session = joined();
    let shown: Vec<String> =
        (1..6).flat_map(|n| shown(&session.handle(Millis(ALIVE_MS * n), Event::Tick))).collect();
    assert_eq!(shown, ["[ERRO] O servidor não responde."]);
}

#[test]
fn every_line_says_who_speaks_to_whom() {
    let mut session = joined();
    for (event, line) in [
        (heard(Kind::Text, 0, 0, "60 segundos"), "[Servidor] 60 segundos"),
        (heard(Kind::Text, 2, EVERYBODY, "olá"), "[Broadcast] Bia: olá"),
        (heard(Kind::Text, 2, 7, "só tu"), "[Privado] Bia: só tu"),
        (heard(Kind::Error, 0, 7, "não"), "[ERRO] não"),
    ] {
        assert_eq!(shown(&session.handle(Millis(1), event)), [line]);
    }
}

#[test]
fn a_long_text_is_several_messages() {
    let mut session = joined();
    let text = "á".repeat(100);
    let effects = session.handle(Millis(1), Event::Say(EVERYBODY, text.clone()));
    let said: Vec<&str> = sent(&effects).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(said, ["á".repeat(70), "á".repeat(30)]);
    assert_eq!(said.concat(), text);
}

/// A server takes no more than 50 texts a second of one client.
#[test]
fn many_lines_at_once_are_said_one_after_the_other() {
    let mut session = joined();
    for (text, parts) in [("um".to_owned(), 1), ("á".repeat(100), 2), ("três".to_owned(), 1)] {
        assert!(session.is_ready());
        let start = Millis(1);
        session.handle(start, Event::Say(EVERYBODY, text));
        assert!(!session.is_ready());
        let due = session.deadline();
        assert_eq!(due, start.plus(parts * SAY_MS));
        assert_eq!(session.handle(Millis(due.0 - 1), Event::Tick), []);
        assert!(!session.is_ready());
        assert_eq!(session.handle(due, Event::Tick), []);
    }
    assert!(session.is_ready() && session.deadline() == Millis(ALIVE_MS));
    const { assert!(1_000 / SAY_MS + LINE_BYTES_MAX as u64 / 140 < RATE_MAX as u64) };
}

/// So that what was asked for last is still answered.
#[test]
fn who_is_done_leaves_behind_the_answers() {
    let mut session = joined();
    assert_eq!(sent(&session.handle(Millis(1), Event::Done)), [(Kind::Hello, 0, "")]);
    assert!(!session.is_ready());
    let effects =
        session.handle(Millis(2), heard(Kind::Error, 0, 7, "ID de destino não encontrado."));
    assert_eq!(shown(&effects), ["[ERRO] ID de destino não encontrado."]);
    let effects = session.handle(Millis(3), heard(Kind::Hello, 0, 7, "Conexão aceita."));
    assert_eq!(sent(&effects), [(Kind::Bye, 0, "")]);
    assert_eq!(effects.last(), Some(&Effect::End(Ending::Left)));
}

#[test]
fn who_is_done_waits_for_no_server_that_is_gone() {
    let mut session = joined();
    session.handle(Millis(1), Event::Done);
    assert_eq!(session.deadline(), Millis(1 + DONE_MS_MAX));
    let effects = session.handle(session.deadline(), Event::Tick);
    assert_eq!(effects.last(), Some(&Effect::End(Ending::Left)));
}

#[test]
fn what_is_said_to_one_is_shown_to_oneself() {
    let effects = joined().handle(Millis(1), Event::Say(2, "oi".to_owned()));
    let line = Line { voice: Voice::Sent(2), name: String::new(), text: "oi".to_owned() };
    assert_eq!(effects[1], Effect::Show(line));
}

#[test]
fn the_end_of_the_server_ends_it() {
    let event = heard(Kind::Text, 0, 0, "Servidor desligado. Conexão encerrada.");
    let effects = joined().handle(Millis(1), event);
    assert_eq!(effects.last(), Some(&Effect::End(Ending::ServerGone)));
}

#[test]
fn lines_mean_what_they_say() {
    let wanted = |event| Typed::Wanted(event);
    assert_eq!(console::parse("  "), Typed::Empty);
    assert_eq!(console::parse("olá a todos"), wanted(Event::Say(0, "olá a todos".to_owned())));
    assert_eq!(console::parse("/to 3 oi tu "), wanted(Event::Say(3, "oi tu".to_owned())));
    assert_eq!(console::parse("/list"), wanted(Event::List));
    assert_eq!(console::parse("/quit"), wanted(Event::Done));
    for line in ["/help", "/to", "/to 3", "/to 0 x", "/to Bia x", "/to -1 x", "/nada"] {
        assert!(matches!(console::parse(line), Typed::Help(_)), "{line}");
    }
}

/// Nobody moves the cursor of somebody else's terminal.
#[test]
fn control_characters_are_shown_and_not_done() {
    let (name, text) = ("\x1b[31mBia".to_owned(), "a\r[Servidor] b\u{9b}".to_owned());
    let line = console::show(&Line { voice: Voice::Public, name, text }).unwrap();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    // Nor turns the rest of a line around.
    let (name, text) = ("\u{202e}Bia".to_owned(), "\u{2067}x".to_owned());
    let line = console::show(&Line { voice: Voice::Public, name, text }).unwrap();
    assert_eq!(line, "[Broadcast] \\u{202e}Bia: \\u{2067}x");
}
