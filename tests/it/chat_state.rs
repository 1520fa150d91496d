//! The chat server's rules, on the value alone (chat spec: Server).

use malha::chat::limits::{RATE_MAX, SILENT_MS_MAX, STATUS_MS, TEXT_BYTES_MAX};
use malha::chat::protocol::{EVERYBODY, Flaw, Heard, Id, Kind, Message, SERVER};
use malha::chat::state::{Effect, Event, Reason, Setup, State};
use malha::net::clock::Millis;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A server and the time.
struct World {
    state: State,
    now: Millis,
}

/// What one is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    to: u16,
    kind: Kind,
    origin: Id,
    destination: Id,
    name: String,
    text: String,
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn message(kind: Kind, origin: Id, destination: Id, text: &str) -> Message {
    let (name, text) = (format!("n{origin}"), text.to_owned());
    Message { kind, origin, destination, name, text }
}

impl World {
    fn new() -> World {
        World::with(Setup { clients_max: 1000, rate_max: RATE_MAX, status_ms: STATUS_MS })
    }

    fn with(setup: Setup) -> World {
        World { state: State::new(setup, Millis(0)), now: Millis(0) }
    }

    /// Client `id` is at port `id`.
    fn with_clients(ids: &[Id]) -> World {
        let mut world = World::new();
        for id in ids {
            let told = world.says(*id as u16, message(Kind::Hello, *id, 0, ""));
            assert_eq!((told.len(), told[0].kind), (1, Kind::Hello));
        }
        world
    }

    fn says(&mut self, port: u16, message: Message) -> Vec<Told> {
        self.event(Event::Heard(at(port), Some(Heard::Message(message))))
    }

    fn event(&mut self, event: Event) -> Vec<Told> {
        let mut told = Vec::new();
        for effect in self.state.handle(self.now, event) {
            let (addrs, message) = match effect {
                Effect::Send(addr, message) => (vec![addr], message),
                Effect::SendAll(addrs, message) => (addrs.to_vec(), message),
                Effect::Joined(_) | Effect::Left(..) => continue,
            };
            let Message { kind, origin, destination, name, text } = message;
            assert!(text.len() <= TEXT_BYTES_MAX, "{text:?} is too long");
            told.extend(addrs.iter().map(|addr| {
                let (name, text) = (name.clone(), text.clone());
                Told { to: addr.port(), kind, origin, destination, name, text }
            }));
        }
        told
    }

    fn at(&mut self, ms: u64) -> Vec<Told> {
        self.now = Millis(ms);
        self.event(Event::Tick)
    }

    fn ids(&self) -> Vec<Id> {
        self.state.clients().keys().copied().collect()
    }
}

#[track_caller]
fn is_error(told: &[Told], to: u16, text: &str) {
    let [only] = told else { panic!("told {told:?}") };
    let Told { to: whom, kind, origin, text: why, .. } = only;
    assert_eq!((*whom, *kind, *origin, why.as_str()), (to, Kind::Error, SERVER, text));
}

#[test]
fn oi_is_accepted_also_again_from_the_same_address() {
    let mut world = World::new();
    for _ in 0..2 {
        let told = world.says(5, message(Kind::Hello, 5, 0, ""));
        let welcome = Told {
            to: 5,
            kind: Kind::Hello,
            origin: SERVER,
            destination: 5,
            name: "Servidor".to_owned(),
            text: "Conexão aceita.".to_owned(),
        };
        assert_eq!(told, [welcome]);
    }
    assert_eq!(world.ids(), [5]);
}

#[test]
fn an_id_belongs_to_one_address() {
    let mut world = World::with_clients(&[5]);
    is_error(&world.says(6, message(Kind::Hello, 5, 0, "")), 6, "ID já em uso.");
    is_error(&world.says(6, message(Kind::Text, 5, 0, "eu?")), 6, "Cliente não registrado.");
    is_error(&world.says(6, message(Kind::Bye, 5, 0, "")), 6, "Cliente não registrado.");
    assert_eq!(world.ids(), [5]);
}

#[test]
fn the_servers_id_is_nobody_elses() {
    let mut world = World::new();
    is_error(&world.says(6, message(Kind::Hello, 0, 0, "")), 6, "O ID 0 é do servidor.");
    assert!(world.ids().is_empty());
}

#[test]
fn a_text_to_all_goes_to_all_the_sender_too() {
    let mut world = World::with_clients(&[1, 2, 3]);
    let told = world.says(2, message(Kind::Text, 2, EVERYBODY, "olá"));
    assert_eq!(told.iter().map(|told| told.to).collect::<Vec<_>>(), [1, 2, 3]);
    for Told { kind, origin, destination, name, text, .. } in &told {
        assert_eq!((*kind, *origin, *destination), (Kind::Text, 2, EVERYBODY));
        assert_eq!((name.as_str(), text.as_str()), ("n2", "olá"));
    }
}

#[test]
fn a_private_text_goes_to_one() {
    let mut world = World::with_clients(&[1, 2, 3]);
    let told = world.says(2, message(Kind::Text, 2, 3, "só tu"));
    assert_eq!((told.len(), told[0].to, told[0].destination), (1, 3, 3));
    is_error(&world.says(2, message(Kind::Text, 2, 9, "x")), 2, "ID de destino não encontrado.");
}

/// The name that a message carries cannot be somebody else's.
#[test]
fn a_client_is_called_as_it_said_oi() {
    let mut world = World::with_clients(&[1, 2]);
    let forged = Message { name: "n2".to_owned(), ..message(Kind::Text, 1, EVERYBODY, "x") };
    assert!(world.says(1, forged).iter().all(|told| told.name == "n1"));
}

#[test]
fn tchau_removes() {
    let mut world = World::with_clients(&[1, 2]);
    assert_eq!(world.says(1, message(Kind::Bye, 1, 0, "")), []);
    assert_eq!(world.ids(), [2]);
    let told = world.says(2, message(Kind::Text, 2, EVERYBODY, "x"));
    assert_eq!(told.len(), 1, "only the sender is left");
}

#[test]
fn what_is_unknown_is_told_and_an_error_is_not_answered() {
    let mut world = World::with_clients(&[1]);
    let unknown = message(Kind::Unknown(9), 1, 0, "");
    is_error(&world.says(1, unknown), 1, "Tipo de mensagem desconhecido.");
    assert_eq!(world.says(1, message(Kind::Error, 1, 0, "x")), []);
    assert_eq!(world.event(Event::Heard(at(1), None)), []);
    let flawed = |kind| Event::Heard(at(1), Some(Heard::Flawed(1, kind, Flaw::TooLong)));
    is_error(&world.event(flawed(Kind::Text)), 1, "Texto com mais de 140 bytes.");
    assert_eq!(world.event(flawed(Kind::Error)), []);
    assert_eq!(world.state.counters().malformed, 3);
}

#[test]
fn the_list_names_all_and_cuts_none() {
    let mut world = World::with_clients(&[1, 2]);
    let told = world.says(1, message(Kind::List, 1, 0, ""));
    let text = "Clientes conectados: 1: n1, 2: n2";
    assert_eq!((told.len(), told[0].kind, told[0].text.as_str()), (1, Kind::Text, text));
    let ids: Vec<Id> = (1..=300).collect();
    let mut world = World::with_clients(&ids);
    let told = world.says(1, message(Kind::List, 1, 0, ""));
    let head = "Clientes conectados: ";
    let texts = told.iter().map(|told| told.text.strip_prefix(head).expect("has its head"));
    let named: Vec<String> = texts.flat_map(|text| text.split(", ").map(str::to_owned)).collect();
    let expected: Vec<String> = ids.iter().map(|id| format!("{id}: n{id}")).collect();
    assert_eq!(named, expected);
    is_error(&world.says(999, message(Kind::List, 999, 0, "")), 999, "Cliente não registrado.");
}

#[test]
fn every_60_s_all_are_told_how_it_is() {
    let mut world = World::with_clients(&[1, 2]);
    world.says(1, message(Kind::Text, 1, 2, "x"));
    world.says(1, message(Kind::Text, 1, EVERYBODY, "x"));
    assert_eq!(world.at(59_999), []);
    let told = world.at(60_000);
    let text = "Servidor ativo há 60 segundos. Clientes conectados: 2. Mensagens recentes: 2.";
    assert!(told.iter().all(|told| told.text == text && told.origin == SERVER), "{told:?}");
    assert_eq!(told.len(), 2);
    assert_eq!(world.at(60_001), []);
    let text = "Servidor ativo há 120 segundos. Clientes conectados: 2. Mensagens recentes: 0.";
    assert_eq!(world.at(120_000)[0].text, text);
}

/// As when the machine has slept.
#[test]
fn a_late_status_comes_once() {
    let mut world = World::with_clients(&[1]);
    assert_eq!(world.at(600_500).len(), 1);
    assert_eq!(world.at(601_500).len(), 0);
    assert_eq!(world.at(659_999).len(), 0);
    assert_eq!(world.at(660_000).len(), 1);
}

#[test]
fn the_end_is_told_to_all() {
    let mut world = World::with_clients(&[1, 2]);
    let told = world.event(Event::Stopped);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.text == "Servidor desligado. Conexão encerrada."));
}

#[test]
fn silence_means_something_only_of_those_who_give_signs() {
    let mut world = World::with_clients(&[1, 2, 3]);
    world.now = Millis(2_000);
    // An OI so soon is a client that has missed our answer.
    world.says(3, message(Kind::Hello, 3, 0, ""));
    world.now = Millis(20_000);
    world.says(2, message(Kind::Hello, 2, 0, ""));
    world.at(20_000 + SILENT_MS_MAX - 1);
    assert_eq!(world.ids(), [1, 2, 3]);
    let effects = world.state.handle(Millis(20_000 + SILENT_MS_MAX), Event::Tick);
    assert!(effects.contains(&Effect::Left(2, Reason::Silent)), "{effects:?}");
    world.at(10_000_000);
    assert_eq!(world.ids(), [1, 3]);
}

#[test]
fn any_word_is_a_sign_of_life() {
    let mut world = World::with_clients(&[1]);
    world.now = Millis(20_000);
    world.says(1, message(Kind::Hello, 1, 0, ""));
    world.now = Millis(80_000);
    world.says(1, message(Kind::List, 1, 0, ""));
    world.at(80_000 + SILENT_MS_MAX - 1);
    assert_eq!(world.ids(), [1]);
    world.at(80_000 + SILENT_MS_MAX);
    assert!(world.ids().is_empty());
}

#[test]
fn a_client_that_says_too_much_is_told_once_a_second() {
    let mut world = World::with_clients(&[1, 2]);
    let mut second = |ms: u64| {
        world.now = Millis(ms);
        let (mut delivered, mut errors) = (0, 0);
        for _ in 0..100 {
            for told in world.says(1, message(Kind::Text, 1, 2, "x")) {
                delivered += u32::from(told.kind == Kind::Text);
                errors += u32::from(told.kind == Kind::Error);
            }
        }
        (delivered, errors)
    };
    assert_eq!(second(0), (RATE_MAX, 1));
    assert_eq!(second(999), (0, 0));
    assert_eq!(second(1_000), (RATE_MAX, 1));
    let told = world.says(2, message(Kind::Text, 2, 1, "x"));
    assert_eq!(told[0].kind, Kind::Text, "the other one may speak");
}

#[test]
fn one_client_too_many_is_told() {
    let mut world = World::with(Setup { clients_max: 1, rate_max: RATE_MAX, status_ms: STATUS_MS });
    world.says(1, message(Kind::Hello, 1, 0, ""));
    let second = world.says(2, message(Kind::Hello, 2, 0, ""));
    is_error(&second, 2, "Número máximo de clientes alcançado.");
    assert_eq!(world.says(1, message(Kind::Hello, 1, 0, ""))[0].kind, Kind::Hello);
    world.says(1, message(Kind::Bye, 1, 0, ""));
    assert_eq!(world.says(2, message(Kind::Hello, 2, 0, ""))[0].kind, Kind::Hello);
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Hello),
        Just(Kind::Bye),
        Just(Kind::Text),
        Just(Kind::Text),
        Just(Kind::List),
        Just(Kind::Error),
        Just(Kind::Unknown(7)),
    ]
}

proptest! {
    /// Whatever is said by whom: texts go to those who are there and to nobody else, and nobody is
    /// there who has not said OI from where it is.
    #[test]
    fn only_who_is_there_hears_and_is_heard(
        steps in proptest::collection::vec(
            (any_kind(), 0..5_u32, 0..5_u32, 1..6_u16, 0..9_000_u64),
            0..80,
        ),
    ) {
        let mut world = World::new();
        let mut known: BTreeMap<Id, u16> = BTreeMap::new();
        for (kind, origin, destination, port, ms) in steps {
            world.now = Millis(world.now.0 + ms);
            world.event(Event::Tick);
            known.retain(|id, _| world.state.clients().contains_key(id));
            let told = world.says(port, message(kind, origin, destination, "x"));
            let is_known = known.get(&origin) == Some(&port);
            let texts = told.iter().filter(|told| told.origin != SERVER);
            let heard: Vec<u16> = texts.map(|told| told.to).collect();
            let expected: Vec<u16> = match (kind, destination) {
                (Kind::Text, EVERYBODY) if is_known => known.values().copied().collect(),
                (Kind::Text, id) if is_known => known.get(&id).copied().into_iter().collect(),
                _ => vec![],
            };
            prop_assert_eq!(heard, expected);
            let others = told.iter().filter(|told| told.origin == SERVER);
            prop_assert!(others.clone().all(|told| told.to == port), "{:?}", told);
            match kind {
                Kind::Hello if origin != 0 => drop(known.entry(origin).or_insert(port)),
                Kind::Bye if is_known => drop(known.remove(&origin)),
                _ => {}
            }
            prop_assert_eq!(world.ids(), known.keys().copied().collect::<Vec<_>>());
        }
    }
}
